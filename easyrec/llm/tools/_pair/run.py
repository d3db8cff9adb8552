"""`run`: asks, maps, writes, measures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.durable import write_bytes
from easyrec.errors import ConfigError
from easyrec.llm.asking import Asked, ask_each, client_for, write_report
from easyrec.llm.client import Client
from easyrec.llm.config import LlmConfig
from easyrec.llm.naming import Names
from easyrec.llm.naming.catalogue import Entry
from easyrec.llm.tools._pair.lift import Lift, lift_of
from easyrec.llm.tools._pair.pairs import Pair, id_type, pairs_of, rejections, table_of
from easyrec.llm.tools._pair.prompts import Answer, schema_of, talk_of
from easyrec.llm.tools._pair.recall import write_recall
from easyrec.llm.tools._pair.tables import Bought, Stock, bought_of, stock_of
from easyrec.llm.tools.pair import Config, Kind, Pairing

TOLD = 50
"""Names that could not be mapped, in the report."""


def run(
    config: LlmConfig, own: Config, *, evaluate: bool = False, progress: Callable[[int], object] | None = None
) -> Pairing:
    """See `easyrec.llm.tools.pair.pair`."""
    endpoint = config.asked()
    if evaluate and own.events is None:
        raise ConfigError("pair.events: is missing: it says what users bought, which pairs are measured by")
    with ExitStack() as stack:
        embedder = None if config.embedder is None else stack.enter_context(config.embedder.open())
        names = stack.enter_context(Names(own.names, embedder))
        stock, bought = _tables(own, names)  # before anything is paid for
        client = stack.enter_context(client_for(endpoint, Path(own.output)))
        asked: dict[str, Asked[Answer]] = {
            kind: _asked(client, own, names, kind, progress) for kind in dict.fromkeys(own.kinds)
        }
        answers = [
            (kind, number, answer)
            for kind in dict.fromkeys(own.kinds)
            for number, answer in enumerate(asked[kind].values)
            if answer is not None
        ]
        made = pairs_of(own, names, answers)
        write_bytes(Path(own.output), _parquet(table_of(names, made.pairs, endpoint.model)))
        entries = names.catalogue.entries
        rows = None
        if own.recall is not None and stock is not None:
            rows = write_recall(own.recall, made.pairs, stock, len(entries))
        lift = _lift(own, made.pairs, bought, len(entries)) if evaluate and bought is not None else None
    told = rejections(made, TOLD)
    more: dict[str, Any] = {
        "names": {"said": sum(made.how.values()), **dict(sorted(made.how.items()))},
        "dropped": {"own category": made.own, "said twice": made.twice, "weak": made.weak},
        "rejected": [{"name": name, "times": times} for name, times in told],
        "pairs": len(made.pairs),
        "categories": len({one.category for one in made.pairs}),
        "recall_rows": rows,
        "evaluation": None if lift is None else lift.as_json(),
    }
    report = write_report(
        Path(own.output), "pair", own, {kind: (endpoint.model, found) for kind, found in asked.items()}, more
    )
    return Pairing(
        asked, made.how, made.own, made.twice, made.weak, len(made.pairs), more["categories"], told, rows, lift, report
    )


def _tables(own: Config, names: Names) -> tuple[Stock | None, Bought | None]:
    """Items and events, where there are any."""
    if own.items is None or (own.recall is None and own.events is None):
        return None, None
    ids = pa.array([entry.id for entry in names.catalogue.entries], id_type(names))
    stock = stock_of(own.items, ids)
    if own.events is None:
        return stock, None
    bought = bought_of(own.events, stock)
    if own.items.popularity is None:
        stock = Stock(stock.ids, stock.category, np.bincount(bought.item, minlength=len(stock.ids)).astype(np.float64))
    return stock, bought


def _asked(
    client: Client, own: Config, names: Names, kind: Kind, progress: Callable[[int], object] | None
) -> Asked[Answer]:
    """What the model answers of one kind."""
    entries: list[Entry] = names.catalogue.entries[: own.limit]
    return ask_each(
        client,
        entries,
        lambda entry: talk_of(own, kind, entry),
        schema_of(own),
        max_failed=own.max_failed,
        progress=progress,
    )


def _lift(own: Config, pairs: list[Pair], bought: Bought, categories: int) -> Lift:
    """What complements are worth; of other kinds alone, what those are."""
    kinds = Counter(one.kind for one in pairs)
    kind: Kind = "complement" if "complement" in own.kinds else "substitute"
    return lift_of(own.evaluation, [one for one in pairs if one.kind == kind] if kinds else [], bought, categories)


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content
