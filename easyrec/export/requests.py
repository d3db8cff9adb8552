"""The program for requests of a bundle: split where that is possible, and proven on the warm-up rows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from easyrec.batch import as_tensor
from easyrec.embedding.sides import ITEM, USER, SidesReader, side_plans, user_columns, user_sequences
from easyrec.export.manifest import SplitEntry
from easyrec.export.program import example
from easyrec.export.split import split_program
from easyrec.export.split.folded import Fields, fold
from easyrec.export.warmup import largest_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from easyrec.embedding.reader import TableReader
    from easyrec.embedding.spec import BagSpec, EmbeddingPlan
    from easyrec.export.calls import Program
    from feature_generator import FeatureGenerator
    from feature_generator.request import Request

logger = logging.getLogger("easyrec.export")

FOLDER = "request"
PROVEN = 8
"""Warm-up rows that are scored as requests before a split is kept."""
CANDIDATES = 5
SIZES = 101, 1009
"""Rows and steps of the example by which dimensions are told apart: no layer is likely to have such."""


def request_program(
    program: Program,
    tables: TableReader,
    generator: FeatureGenerator,
    rows: pa.RecordBatch,
    tolerance: float,
) -> tuple[Program, SplitEntry] | None:
    """The program for requests, and what tells how to feed it; None where it would save nothing, or is not exact.

    Args:
        program: What scores rows.
        tables: Its tables.
        generator: Makes what it reads.
        rows: Warm-up rows.
        tolerance: Largest difference that the scores of a request may have from those of rows.
    """
    if generator.mode != "raw":
        return None
    plan, users = tables.plan, [_user(generator, rows.slice(row, 1)) for row in range(min(PROVEN, rows.num_rows))]
    user = frozenset(users[0].user)
    if not user & {name for group in plan.groups.values() for name in group.features}:
        return None
    examples = {key: t for key, t in example(plan.layouts, *SIZES).items() if key in program.inputs}
    try:
        split = split_program(program, examples, user_columns(plan, user), user_sequences(plan, user))
        if split is None:
            return None
        apart = [name for name in user_sequences(plan, user) if name not in split.together]
        entry = SplitEntry(folder=FOLDER, user=sorted(user), apart=apart)
        made, folded = _folded(split.program, tables, entry)
        entry = entry.model_copy(update={"folded": sorted(folded)})
        sides, items = SidesReader(tables, user, apart, folded), _items(generator, rows.slice(0, CANDIDATES))
        error = max(_difference(program, made, tables, sides, one, items) for one in users)
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError, AssertionError) as failure:
        logger.warning("requests are scored as rows are: their own program fails: %s", str(failure).partition("\n")[0])
        return None
    if not error <= tolerance:
        logger.warning("requests are scored as rows are: their own program differs by %.1e", error)
        return None
    return made, entry


def _folded(program: Program, tables: TableReader, entry: SplitEntry) -> tuple[Program, frozenset[str]]:
    """The program with numbers in place of what they are multiplied with, where it allows that; and of which groups."""
    fields: dict[str, Fields] = {}
    for prefix, side in zip((USER, ITEM), side_plans(tables.plan, set(entry.user), entry.apart), strict=True):
        for name, group in side.groups.items():
            for kind, bags in (("emb", group.fields), ("first", group.first)):
                if any(bag.kind == "linear" for bag in bags):
                    fields[f"{prefix}{kind}:{name}"] = _fields(bags, tables)
    return fold(program, request_example(tables.plan, entry), fields)


def _fields(bags: Sequence[BagSpec], tables: TableReader) -> Fields:
    vectors = [
        torch.tensor(tables.weights[bag.table]) if bag.kind == "linear" and bag.table is not None else None
        for bag in bags
    ]
    return Fields(tuple(bag.dim for bag in bags), tuple(vectors))


def request_inputs(
    tables: TableReader, entry: SplitEntry, generator: FeatureGenerator, rows: pa.RecordBatch
) -> dict[str, np.ndarray]:
    """What the program for requests is given for the user of the first of some rows and the items of all."""
    request = _user(generator, rows.slice(0, 1))
    each = request.score_items(_items(generator, rows), tile=True)
    return SidesReader(tables, set(entry.user), entry.apart, entry.folded).lookup(request.user, each)


def request_example(plan: EmbeddingPlan, entry: SplitEntry) -> dict[str, Tensor]:
    """Inputs of the program for requests that tell its types: of a user, and of some items."""
    user, item = side_plans(plan, set(entry.user), entry.apart, entry.folded)
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


def _user(generator: FeatureGenerator, row: pa.RecordBatch) -> Request:
    """What a row has once."""
    columns = {side: generator.needs(side) for side in ("user", "context")}
    parts = {side: row.select(names) if names else None for side, names in columns.items()}
    return generator.request(parts["user"], parts["context"], bad_rows="fail")


def _items(generator: FeatureGenerator, rows: pa.RecordBatch) -> Any:
    """Candidates: those of some rows."""
    names = generator.needs("item")
    return rows.select(names) if names else [{}] * rows.num_rows


def _difference(
    program: Program, split: Program, tables: TableReader, sides: SidesReader, request: Request, items: Any
) -> float:
    """The largest one of a request's scores, by both programs; several candidates tell what one alone would hide."""
    each = request.score_items(items, tile=True)
    given = sides.lookup(request.user, each)
    found = split({name: as_tensor(given[name]) for name in split.inputs})
    rows = tables.lookup(each)
    wanted = program({name: as_tensor(rows[name]) for name in program.inputs})
    return max(largest_error(found[name].numpy(), scores.numpy()) for name, scores in wanted.items())
