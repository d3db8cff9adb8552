"""`run`: asks, checks, writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from easyrec.llm.asking import Asked, ask_each, client_for, write_report
from easyrec.llm.behaviour import Behaviour
from easyrec.llm.config import LlmConfig
from easyrec.llm.grounds import Grounds
from easyrec.llm.items import write_table
from easyrec.llm.texts import Texts
from easyrec.llm.tools._profile.claims import Claims
from easyrec.llm.tools._profile.prompts import rules_of, schema_of, talk_of
from easyrec.llm.tools.profile import Config, Part, Profiled

Told = list[dict[str, Any]]


def run(config: LlmConfig, own: Config, *, progress: Callable[[int], object] | None = None) -> dict[str, Profiled]:
    """See `easyrec.llm.tools.profile.profile`."""
    config.asked()
    keep = [] if own.of_items is None else own.of_items.keep
    texts = Texts(own.items, "profile.items", keep)
    behaviour = None if own.of_users is None else Behaviour(own.of_users.events, texts.ids, "profile.of_users.events")
    made: dict[str, Profiled] = {}
    if own.of_items is not None:
        numbers = np.arange(len(texts))[: own.of_items.limit]
        columns = {name: texts.table[name].slice(0, len(numbers)) for name in dict.fromkeys([own.items.id, *keep])}
        told: Sequence[Told] = [[{"item": text}] for text in texts.each(numbers)]
        made["items"] = _made(config, own, own.of_items, "item", told, columns, 0, progress)
    if own.of_users is not None and behaviour is not None:
        part, places = own.of_users, [behaviour.last(number) for number in range(len(behaviour.users))]
        chosen = [number for number, one in enumerate(places) if len(one) >= part.least][: part.limit]
        skipped = sum(len(one) < part.least for one in places)
        known = {int(number) for user in chosen for number in behaviour.item[places[user]]}
        text_of = {number: texts.of(number) for number in known}
        told = [_events(behaviour, places[number], text_of) for number in chosen]
        ends = np.array([places[number][-1] for number in chosen], np.int64)
        columns = {
            part.events.user: behaviour.users.take(pa.array(chosen, pa.int64())),
            "events": pa.array([len(places[number]) for number in chosen], pa.int32()),
            "until": times_of(behaviour, ends),
        }
        made["users"] = _made(config, own, part, "user", told, columns, skipped, progress)
    return made


def _events(behaviour: Behaviour, places: np.ndarray, text_of: dict[int, str]) -> Told:
    """What a user did, as it is told."""
    told = []
    for place in places:
        one: dict[str, Any] = {"event": text_of[int(behaviour.item[place])]}
        if behaviour.value is not None:
            one["value"] = float(behaviour.value[place])
        told.append(one)
    return told


def times_of(behaviour: Behaviour, places: np.ndarray) -> pa.Array:
    """When events happened, in the type of their column."""
    kind, times = behaviour.time_type, behaviour.time[places]
    if pa.types.is_temporal(kind):
        return pa.array(times, pa.timestamp("us")).cast(kind, safe=False)
    return pa.array(times).cast(kind)


def _made(
    config: LlmConfig,
    own: Config,
    part: Part,
    of: Literal["item", "user"],
    told: Sequence[Told],
    columns: dict[str, Any],
    skipped: int,
    progress: Callable[[int], object] | None,
) -> Profiled:
    """Ask for the profiles of a table, and write them."""
    endpoint, output = config.asked(), Path(part.output)
    grounds = Grounds(own.language) if any(one.grounded for one in part.fields) else None
    rules, claims = rules_of(own, part.fields, of), Claims(part.fields, grounds)
    with client_for(endpoint, output) as client:
        asked: Asked[BaseModel] = ask_each(
            client,
            told,
            lambda one: talk_of(rules, one),
            schema_of(part.fields),
            max_failed=own.max_failed,
            progress=progress,
        )
    rows, dropped = [], []
    nothing = {one.name: None for one in part.fields}
    for one, answer in zip(told, asked.values, strict=True):
        text = "\n".join(str(entry.get("item", entry.get("event"))) for entry in one)
        row, bad = (nothing, 0) if answer is None else claims.taken(answer, text)
        rows.append(row)
        dropped.append(bad)
    kinds = {"list": pa.list_(pa.string())}
    for field in part.fields:
        columns[field.name] = pa.array([row[field.name] for row in rows], kinds.get(field.type, pa.string()))
    columns["unsupported"] = pa.array(dropped, pa.int32())
    columns["state"] = pa.array(asked.states, pa.string())
    columns["synthetic"] = pa.array([True] * len(rows), pa.bool_())
    columns["source"] = pa.array([endpoint.model] * len(rows), pa.string())
    write_table(output, pa.table(columns))
    more: dict[str, Any] = {
        "of": f"{of}s",
        "rows": len(rows),
        "skipped": skipped,
        "claims": {one.name: claims.made[one.name] for one in part.fields},
        "unsupported": {one.name: claims.unsupported[one.name] for one in part.fields if one.grounded},
        "unsupported_examples": claims.examples,
        "unknown": {one.name: claims.unknown[one.name] for one in part.fields},
    }
    report = write_report(output, "profile", own, {f"{of}s": (endpoint.model, asked)}, more)
    return Profiled(
        asked,
        part.output,
        len(rows),
        skipped,
        more["claims"],
        more["unsupported"],
        more["unknown"],
        claims.examples,
        report,
    )
