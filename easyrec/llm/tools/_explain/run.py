"""`run`: asks, sifts, falls back, writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from easyrec.errors import DataError
from easyrec.llm.asking import Asked, ask_each, client_for, write_report
from easyrec.llm.behaviour import Behaviour
from easyrec.llm.config import LlmConfig
from easyrec.llm.events import moments, numbers_of, plain
from easyrec.llm.grounds import Grounds
from easyrec.llm.items import batches_of, write_table
from easyrec.llm.templates import columns_of, filled
from easyrec.llm.texts import Texts, cut
from easyrec.llm.tools._explain.sentences import Sifted, schema_of, talk_of
from easyrec.llm.tools.explain import Config, Explained, RecommendedConfig

TITLE = 80
"""Characters of what a template calls an item."""


def run(config: LlmConfig, own: Config, *, progress: Callable[[int], object] | None = None) -> Explained:
    """See `easyrec.llm.tools.explain.explain`."""
    endpoint, output, given = config.asked(), Path(own.output), own.recommended
    texts = Texts(own.items, "explain.items", [] if own.title is None else columns_of(own.title))
    behaviour = Behaviour(own.events, texts.ids, "explain.events")
    table = _recommended(given)
    items = numbers_of(plain(table[given.item]), texts.ids, given.path, given.item)
    histories = _histories(table, given, behaviour)
    asked_of = [row for row, places in enumerate(histories) if len(places) and items[row] >= 0]
    known = {int(number) for row in asked_of for number in (items[row], *behaviour.item[histories[row]])}
    text_of = {number: texts.of(number) for number in known}

    def told(row: int) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        for place in histories[row]:
            events.append({"text": text_of[int(behaviour.item[place])]})
            if behaviour.value is not None:
                events[-1]["value"] = float(behaviour.value[place])
        return events

    sifted = Sifted(own, Grounds(own.language))
    with client_for(endpoint, output) as client:
        asked: Asked[BaseModel] = ask_each(
            client,
            asked_of,
            lambda row: talk_of(own, text_of[int(items[row])], told(row)),
            schema_of(own),
            max_failed=own.max_failed,
            progress=progress,
        )
    said: list[tuple[str | None, str, list[int]]] = [(None, "none", [])] * len(histories)
    for row, answer in zip(asked_of, asked.values, strict=True):
        events = [str(one["text"]) for one in told(row)]
        text, cites = ("", []) if answer is None else sifted.said(answer, events)
        if text:
            said[row] = (text, "model", cites)
        elif own.template is not None:
            place = sifted.nearest(text_of[int(items[row])], events)
            names = {
                "event": _title(own, texts, int(behaviour.item[histories[row][place]])),
                "item": _title(own, texts, int(items[row])),
            }
            said[row] = (filled(own.template, names), "template", [place])
    write_table(output, _table(own, table, behaviour, texts, histories, said, endpoint.model))
    states = Counter(state for _, state, _ in said)
    more = {
        "rows": len(said),
        "by_model": states["model"],
        "by_template": states["template"],
        "without": states["none"],
        "sentences": sifted.written,
        "dropped": dict(sifted.dropped),
        "unknown": sifted.unknown,
    }
    report = write_report(output, "explain", own, {"explanations": (endpoint.model, asked)}, more)
    return Explained(
        asked,
        len(said),
        states["model"],
        states["template"],
        states["none"],
        sifted.written,
        dict(sifted.dropped),
        sifted.unknown,
        own.output,
        report,
    )


def _recommended(given: RecommendedConfig) -> pa.Table:
    wanted = [given.user, given.item, *([given.time] if given.time else []), *given.keep]
    batches = list(batches_of(Path(given.path), list(dict.fromkeys(wanted)), "explain.recommended"))
    if not sum(batch.num_rows for batch in batches):
        raise DataError("has no row", file=given.path)
    table = pa.Table.from_batches(batches)
    for name in (given.user, given.item, *([given.time] if given.time else [])):
        if table[name].null_count:
            raise DataError("a row has none", file=given.path, column=name)
    return table if given.limit is None else table.slice(0, given.limit)


def _histories(table: pa.Table, given: RecommendedConfig, behaviour: Behaviour) -> list[np.ndarray]:
    """Of each row the places of its own user's events, before its moment; the recommended item is none of them."""
    users = behaviour.numbers_of(table[given.user], given.path, given.user)
    if given.time is None:
        return [behaviour.last(int(user)) for user in users]
    times = moments(
        plain(table[given.time]), behaviour.config.model_copy(update={"path": given.path, "time": given.time})
    )
    return [behaviour.last(int(user), moment) for user, moment in zip(users, times, strict=True)]


def _title(own: Config, texts: Texts, item: int) -> str:
    """What a template calls an item."""
    if own.title is None:
        return cut(texts.of(item), TITLE)
    row = {name: texts.table[name][item].as_py() for name in columns_of(own.title)}
    return " ".join(cut(filled(own.title, row), TITLE).split())


def _table(
    own: Config,
    table: pa.Table,
    behaviour: Behaviour,
    texts: Texts,
    histories: list[np.ndarray],
    said: list[tuple[str | None, str, list[int]]],
    model: str,
) -> pa.Table:
    """The rows, with what is said and what that cites."""
    cited = [
        [int(behaviour.item[places[at]]) for at in cites] for places, (_, _, cites) in zip(histories, said, strict=True)
    ]
    flat = texts.ids.take(pa.array([item for some in cited for item in some], pa.int64()))
    offsets = np.concatenate([[0], np.cumsum([len(some) for some in cited])]).astype(np.int32)
    columns = {name: table[name] for name in table.column_names}
    columns |= {
        "text": pa.array([text for text, _, _ in said], pa.string()),
        "state": pa.array([state for _, state, _ in said], pa.string()),
        "cites": pa.array([[at + 1 for at in cites] for _, _, cites in said], pa.list_(pa.int32())),
        "cited": pa.ListArray.from_arrays(pa.array(offsets), flat),
        "synthetic": pa.array([state == "model" for _, state, _ in said], pa.bool_()),
        "source": pa.array([model if state == "model" else None for _, state, _ in said], pa.string()),
    }
    return pa.table(columns)
