"""The program for requests of a bundle: split where that is possible, and proven on the warm-up rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from easyrec.batch import as_tensor
from easyrec.embedding.sides import side_plans, user_columns, user_sequences
from easyrec.export.manifest import SplitEntry
from easyrec.export.program import example
from easyrec.export.split import ITEM, USER, split_program
from easyrec.export.warmup import largest_error

if TYPE_CHECKING:
    import pyarrow as pa

    from easyrec.embedding.reader import TableReader
    from easyrec.embedding.spec import EmbeddingPlan
    from easyrec.export.calls import Program
    from feature_generator import FeatureGenerator, Table

logger = logging.getLogger("easyrec.export")

FOLDER = "request"
PROVEN = 8
"""Warm-up rows that are scored as requests before a split is kept."""


def request_program(
    program: Program,
    tables: TableReader,
    generator: FeatureGenerator,
    rows: pa.RecordBatch,
    predictions: Mapping[str, np.ndarray],
    tolerance: float,
) -> tuple[Program, SplitEntry] | None:
    """The program for requests, and what tells how to feed it; None where it would save nothing, or is not exact.

    Args:
        program: What scores rows.
        tables: Its tables.
        generator: Makes what it reads.
        rows: Warm-up rows.
        predictions: Of these, as trained.
        tolerance: Largest difference from them.
    """
    if generator.mode != "raw":
        return None
    requests = [_request(generator, rows.slice(row, 1)) for row in range(min(PROVEN, rows.num_rows))]
    user = frozenset(requests[0][0])
    plan = tables.plan
    if not user & {name for group in plan.groups.values() for name in group.features}:
        return None
    examples = {key: t for key, t in example(plan.layouts).items() if key in program.inputs}
    split = split_program(program, examples, user_columns(plan, user), user_sequences(plan, user))
    if split is None:
        return None
    apart = [name for name in user_sequences(plan, user) if name not in split.together]
    entry = SplitEntry(folder=FOLDER, user=sorted(user), apart=apart)
    sides = [tables.over(part) for part in side_plans(plan, user, apart)]
    for row, (once, each) in enumerate(requests):
        given = {
            prefix + k: v
            for prefix, side, t in zip((USER, ITEM), sides, (once, each), strict=True)
            for k, v in side.lookup(t).items()
        }
        found = split.program({name: as_tensor(given[name]) for name in split.program.inputs})
        error = max(largest_error(found[name].numpy(), trained[row : row + 1]) for name, trained in predictions.items())
        if not error <= tolerance:
            logger.warning("requests are scored as rows are: their own program differs by %.1e in row %d", error, row)
            return None
    return split.program, entry


def request_inputs(
    tables: TableReader, entry: SplitEntry, generator: FeatureGenerator, rows: pa.RecordBatch
) -> dict[str, np.ndarray]:
    """What the program for requests is given for the user of the first of some rows and the items of all."""
    columns = {side: generator.needs(side) for side in ("user", "context", "item")}
    parts = {side: rows.select(names) if names else None for side, names in columns.items()}
    first = {side: None if part is None else part.slice(0, 1) for side, part in parts.items()}
    request = generator.request(first["user"], first["context"], bad_rows="fail")
    items = request.score_items(parts["item"] if parts["item"] is not None else [{}] * rows.num_rows, tile=True)
    sides = [tables.over(part) for part in side_plans(tables.plan, set(entry.user), entry.apart)]
    return {
        prefix + k: v
        for prefix, side, t in zip((USER, ITEM), sides, (request.user, items), strict=True)
        for k, v in side.lookup(t).items()
    }


def request_example(plan: EmbeddingPlan, entry: SplitEntry) -> dict[str, Tensor]:
    """Inputs of the program for requests that tell its types: of a user, and of some items."""
    user, item = side_plans(plan, set(entry.user), entry.apart)
    found = {ITEM + key: tensor for key, tensor in example(item.layouts).items()}
    for key, tensor in example(user.layouts).items():
        kind = key.partition(":")[0]
        cut = {"seq": tensor, "rows": torch.zeros_like(tensor, dtype=torch.int64), "offsets": tensor[[0, -1]]}
        found[USER + key] = cut.get(kind, tensor[:1])
    for prefix, side in ((USER, user), (ITEM, item)):
        for name, group in side.groups.items():
            if (key := f"{prefix}first:{name}") in found:  # of fields and of dense columns, whatever side these are on
                found[key] = torch.randn(len(found[key]), sum(bag.dim for bag in group.first))
    return found


def _request(generator: FeatureGenerator, row: pa.RecordBatch) -> tuple[Table, Table]:
    """The features of a row as a request of one candidate: once, and of the candidate with all beside it."""
    columns = {side: generator.needs(side) for side in ("user", "context", "item")}
    parts = {side: row.select(names) if names else None for side, names in columns.items()}
    request = generator.request(parts["user"], parts["context"], bad_rows="fail")
    items = parts["item"]
    return request.user, request.score_items(items if items is not None else [{}], tile=True)
