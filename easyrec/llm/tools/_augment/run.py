"""`run`: finds cold items and users, asks, bounds, writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.errors import DataError
from easyrec.llm.asking import client_for, write_report
from easyrec.llm.behaviour import Behaviour
from easyrec.llm.config import LlmConfig
from easyrec.llm.items import write_table
from easyrec.llm.texts import Texts
from easyrec.llm.tools._augment.choices import listwise, pairwise
from easyrec.llm.tools._augment.users import near_users, told_users
from easyrec.llm.tools.augment import Augmented, Config

Picked = tuple[int, int, int, int | None]


def run(config: LlmConfig, own: Config, *, progress: Callable[[int], object] | None = None) -> Augmented:
    """See `easyrec.llm.tools.augment.augment`."""
    endpoint, output = config.asked(), Path(own.output)
    texts = Texts(own.items, "augment.items")
    behaviour = Behaviour(own.events, texts.ids, "augment.events")
    cold = np.flatnonzero(behaviour.counts(len(texts)) < own.below)[: own.limit]
    if not len(cold):
        raise DataError(
            f"no item has fewer than {own.below} events: none is cold", file=own.items.path, column=own.items.id
        )
    numbers, users = told_users(own, texts, behaviour)
    items = texts.each(cold)
    near = near_users(config, own, users, items)
    with client_for(endpoint, output) as client:
        ask = listwise if own.how == "listwise" else pairwise
        choices, asked = ask(client, own, items, users, near, progress)
    kept = bounded(choices.picked, own)
    rows = _rows(kept)
    write_table(output, _table(own, rows, texts, cold, behaviour, numbers, endpoint.model))
    told: dict[str, Any] = {
        "cold_items": len(cold),
        "users": len(users),
        "named": len(choices.picked),
        "unknown": choices.unknown,
        "doubled": choices.doubled,
        "turned": choices.turned,
        "over_bounds": len(choices.picked) - len(kept),
        "rows": len(rows),
        "items": len({item for _, item, _, _ in rows}),
    }
    report = write_report(output, "augment", own, {own.how: (endpoint.model, asked)}, told)
    return Augmented(
        asked,
        len(cold),
        len(users),
        len(choices.picked),
        choices.unknown,
        choices.doubled,
        choices.turned,
        told["over_bounds"],
        len(rows),
        told["items"],
        own.output,
        report,
    )


def bounded(picked: Sequence[Picked], own: Config) -> list[Picked]:
    """Choices within the bounds of items and users: first choices of all items before second ones."""
    of_items, of_users = Counter[int](), Counter[int]()
    kept = []
    for one in sorted(picked, key=lambda one: one[2]):
        person, item, _, _ = one
        if of_items[item] < own.per_item and of_users[person] < own.per_user:
            of_items[item] += 1
            of_users[person] += 1
            kept.append(one)
    return kept


def _rows(kept: Sequence[Picked]) -> list[tuple[int, int, float, int | None]]:
    """(user, item, label, pair) of rows: of a pair the one that won, and the one that lost."""
    rows: list[tuple[int, int, float, int | None]] = []
    for number, (person, item, _, lost) in enumerate(kept):
        pair = None if lost is None else number
        rows.append((person, item, 1.0, pair))
        if lost is not None:
            rows.append((person, lost, 0.0, pair))
    return rows


def _table(
    own: Config,
    rows: Sequence[tuple[int, int, float, int | None]],
    texts: Texts,
    cold: np.ndarray,
    behaviour: Behaviour,
    numbers: np.ndarray,
    model: str,
) -> pa.Table:
    """The rows; their moment is that of the newest event, so that nothing seems to have happened later than what was known."""
    newest = behaviour.time.max()
    kind = behaviour.time_type
    moment = pa.array([newest] * len(rows), pa.timestamp("us") if pa.types.is_temporal(kind) else None)
    return pa.table(
        {
            own.events.user: behaviour.users.take(pa.array([int(numbers[one]) for one, _, _, _ in rows], pa.int64())),
            own.events.item: texts.ids.take(pa.array([int(cold[item]) for _, item, _, _ in rows], pa.int64())),
            own.events.time: moment.cast(kind, safe=False),
            own.label: pa.array([label for _, _, label, _ in rows], pa.float32()),
            own.weight_column: pa.array([own.weight] * len(rows), pa.float32()),
            "pair": pa.array([pair for _, _, _, pair in rows], pa.int64()),
            "synthetic": pa.array([True] * len(rows), pa.bool_()),
            "source": pa.array([model] * len(rows), pa.string()),
        }
    )
