"""The program for requests of a bundle: split where that is possible, and proven on the warm-up rows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from easyrec.batch import as_tensor
from easyrec.embedding.sides import ITEM, USER, SidesReader, side_plans, user_columns, user_sequences
from easyrec.embedding.sums import SumsOf
from easyrec.export.kernels.sums import Given
from easyrec.export.manifest import SplitEntry
from easyrec.export.program import example
from easyrec.export.sides import sides_reader
from easyrec.export.split import split_program
from easyrec.export.split.folded import Fields, fold
from easyrec.export.warmup import largest_error

if TYPE_CHECKING:
    from collections.abc import Collection

    import pyarrow as pa

    from easyrec.embedding.reader import TableReader
    from easyrec.embedding.spec import EmbeddingPlan
    from easyrec.export.calls import Program
    from feature_generator import FeatureGenerator, Table
    from feature_generator.request import Request

logger = logging.getLogger("easyrec.export")

FOLDER = "request"
PROVEN = 8
"""Warm-up rows that are scored as requests before a split is kept."""
CANDIDATES = 5
SIZES = 101, 1009
"""Rows and steps of the example by which dimensions are told apart: no layer is likely to have such."""


class RequestProgram(NamedTuple):
    """A program for requests.

    Attributes:
        program: The program.
        entry: How it is fed.
        whole: The one that is given all fields as they are.
    """

    program: Program
    entry: SplitEntry
    whole: Program


def request_program(
    program: Program,
    tables: TableReader,
    generator: FeatureGenerator,
    rows: pa.RecordBatch,
    tolerance: float,
) -> RequestProgram | None:
    """The program for requests; None where it would save nothing, or is not exact.

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
        items = _items(generator, rows.slice(0, CANDIDATES))
        folded = fold(split.program, request_example(plan, entry), _fields(tables, entry))
        for made, groups in ((folded.program, folded.groups), (split.program, ())):
            entry = entry.model_copy(update={"folded": sorted(groups)})
            sides = sides_reader(tables, entry)
            error = max(_difference(program, made, tables, sides, one, items) for one in users)
            if error <= tolerance:
                return RequestProgram(made, entry, split.program)
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError, AssertionError) as failure:
        logger.warning("requests are scored as rows are: their own program fails: %s", str(failure).partition("\n")[0])
        return None
    logger.warning("requests are scored as rows are: their own program differs by %.1e", error)
    return None


def summed_program(
    made: RequestProgram, tables: TableReader, sums_mb: float
) -> tuple[Program, dict[str, Tensor], Given] | None:
    """The program for requests that is given sums of what is computed ahead for small tables; None: of none.

    Args:
        made: The program for requests.
        tables: Its tables.
        sums_mb: MiB that what is computed ahead may take.

    Returns:
        The program, example inputs, and what it is given.
    """
    plan, entry = tables.plan, made.entry.model_copy(update={"folded": []})
    example = request_example(plan, entry)
    item = side_plans(plan, set(entry.user), entry.apart)[1]
    small = _by_size(item)
    bags = {f"{ITEM}emb:{name}": group.fields for name, group in item.groups.items()}
    bags |= {f"{ITEM}first:{name}": group.first for name, group in item.groups.items()}
    chosen, left = {(key, feature) for _, key, feature in small}, sums_mb * (1 << 20) / 4
    for _ in range(2):  # how wide the sums are is known once a program reads them
        fields = _fields(tables, entry, chosen)
        folded = fold(made.whole, example, fields)
        chosen = set()
        for rows, key, feature in small:
            left -= rows * sum(block.width for block in folded.blocks.get(key, ()))
            if key in folded.blocks and left > 0:
                chosen.add((key, feature))
        if not chosen:
            return None
        left = sums_mb * (1 << 20) / 4
    sums = {}
    for key, blocks in folded.blocks.items():
        features = tuple(b.feature for b, own in zip(bags[key], fields[key].summed, strict=True) if own)
        sums[key] = SumsOf(features, tuple(blocks))
    example = request_example(plan, entry.model_copy(update={"folded": sorted(folded.groups)}))
    for key, one in sums.items():
        example[key] = torch.randn(len(example[key]), fields[key].num_plain + one.width)
    return folded.program, example, Given(tuple(sorted(folded.groups)), sums)


def _by_size(item: EmbeddingPlan) -> list[tuple[int, str, str]]:
    """Tables of candidates' ids, smallest first: number of rows, input and feature."""
    rows = {table.name: table.rows for table in item.tables if table.keys is None}
    found = []
    for name, group in item.groups.items():
        for kind, bags in (("emb", group.fields), ("first", group.first)):
            found += [
                (rows[bag.table], f"{ITEM}{kind}:{name}", bag.feature)
                for bag in bags
                if bag.kind == "ids" and bag.table is not None and bag.table in rows and bag.dim
            ]
    return sorted(found)


def _fields(tables: TableReader, entry: SplitEntry, ahead: Collection[tuple[str, str]] = ()) -> dict[str, Fields]:
    """Of inputs that are given otherwise, the fields: numbers times vectors, and those of `ahead`, by input and feature."""
    found: dict[str, Fields] = {}
    for prefix, side in zip((USER, ITEM), side_plans(tables.plan, set(entry.user), entry.apart), strict=True):
        for name, group in side.groups.items():
            for kind, bags in (("emb", group.fields), ("first", group.first)):
                key = f"{prefix}{kind}:{name}"
                vectors = tuple(
                    torch.tensor(tables.weights[bag.table]) if bag.kind == "linear" and bag.table is not None else None
                    for bag in bags
                )
                own = tuple((key, bag.feature) in ahead for bag in bags)
                if any(own) or any(v is not None for v in vectors):
                    found[key] = Fields(tuple(bag.dim for bag in bags), vectors, own if any(own) else ())
    return found


def request_tables(generator: FeatureGenerator, rows: pa.RecordBatch) -> tuple[Table, Table]:
    """What a request has once, for the user of the first of some rows, and its candidates, the items of all."""
    request = _user(generator, rows.slice(0, 1))
    return request.user, request.score_items(_items(generator, rows), tile=True)


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
