"""Embedding tables on disk, mapped into memory, and their lookup for serving. Knows no torch.

index.json      the plan, and the file, precision and checksum of each table
0.npy, 1.npy    (rows, dim) float32, one file per table in the order of the plan; in fewer bits as `packing` has it
0-kept.npy      beside the rows of a compressed table the other parts of an `Encoded`: kept, books, project
keys-0.npy      (slots, 2) int64, the ids of dynamic tables and their rows, one file per entry of the plan's keys
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import tokenize
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import Self

from easyrec.chunks import row_chunks
from easyrec.embedding import native
from easyrec.embedding.encoded import Encoded, floats_of
from easyrec.embedding.keys import FinishedKeys
from easyrec.embedding.lookup import Columns, Lookup, TableColumns
from easyrec.embedding.packing import STORED, Precision, pack, stored_width, worthwhile
from easyrec.embedding.served import ServedTables
from easyrec.embedding.sharing import mapped_once
from easyrec.embedding.spec import BagSpec, EmbeddingPlan, TableSpec
from easyrec.embedding.sums import FieldSums, SumsOf
from easyrec.errors import BundleError
from easyrec.layout import GroupLayout, SequenceLayout, Span
from feature_generator.columns import Table

FORMAT = "easyrec-tables"
VERSION = 4
"""Without compressed tables 3, those in fp32 have 2, and without dynamic tables 1, which former releases read too."""
INDEX = "index.json"
PARTS = ("kept", "books", "project")
"""Of compressed tables, beside their rows."""


def write_tables(
    directory: str | os.PathLike[str],
    tables: ServedTables,
    precisions: Mapping[str, Precision] | None = None,
    encoded: Mapping[str, Encoded] | None = None,
) -> set[Precision]:
    """Write tables for `TableReader`.

    Tables that numbers are multiplied with stay in fp32, and rows too short for int8 are stored in fp16.

    Args:
        directory: An existing folder without other tables.
        tables: What is written.
        precisions: Of tables by name; others are in fp32.
        encoded: Tables by name that are written compressed; see `compressible`.

    Returns:
        The precisions that were written, of rows that are no codes.

    Raises:
        OSError: The disk refuses.
        ValueError: A number cannot be held in the precision of its table; names the table.
    """
    folder, files, plan, used = Path(directory), [], tables.plan, set()
    multiplied = _multiplied(plan)
    for number, spec in enumerate(plan.tables):
        array = tables.weights[spec.name]
        if array.shape != (spec.rows, spec.dim):
            raise ValueError(f"table '{spec.name}' is {array.shape}, the plan says {(spec.rows, spec.dim)}")
        path = folder / f"{number}.npy"
        if encoded is not None and spec.name in encoded:
            files.append({"table": spec.name, **_save_encoded(folder, number, encoded[spec.name])})
            if encoded[spec.name].books is None:
                used.add(encoded[spec.name].precision)
            continue
        wanted = "fp32" if precisions is None or spec.name in multiplied else precisions.get(spec.name, "fp32")
        precision = worthwhile(wanted, spec.dim)
        try:
            _save(path, array, precision)
        except ValueError as error:
            raise ValueError(f"table '{spec.name}': {error}") from None
        used.add(precision)
        files.append({"table": spec.name, "file": path.name, "sha256": _checksum(path)})
        if precision != "fp32":
            files[-1]["precision"] = precision
    index: dict[str, Any] = {"format": FORMAT, "version": 1, "plan": plan.to_json(), "files": files}
    for number, keys in enumerate(plan.keys):
        path = folder / f"keys-{number}.npy"
        np.save(path, native.key_slots(*tables.keys[keys.name]), allow_pickle=False)
        entry = {"keys": keys.name, "file": path.name, "sha256": _checksum(path)}
        index |= {"version": 2, "keys": [*index.get("keys", []), entry]}
    if used - {"fp32"}:
        index["version"] = 3
    if encoded:
        index["version"] = VERSION
    (folder / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return used


def stored_tables(
    tables: ServedTables, precisions: Mapping[str, Precision], encoded: Mapping[str, Encoded]
) -> dict[str, np.ndarray | Encoded]:
    """The tables as `write_tables` would write them, in memory.

    Args:
        tables: The tables.
        precisions: Of tables by name; others are in fp32.
        encoded: Those that are compressed.

    Raises:
        ValueError: A number cannot be held in the precision of its table; names the table.
    """
    multiplied = _multiplied(tables.plan)
    stored: dict[str, np.ndarray | Encoded] = dict(encoded)
    for spec in tables.plan.tables:
        if spec.name not in stored:
            wanted = "fp32" if spec.name in multiplied else precisions.get(spec.name, "fp32")
            try:
                stored[spec.name] = pack(tables.weights[spec.name], worthwhile(wanted, spec.dim))
            except ValueError as error:
                raise ValueError(f"table '{spec.name}': {error}") from None
    return stored


def compressible(plan: EmbeddingPlan) -> list[str]:
    """Tables that may be compressed: not those that numbers are multiplied with, nor whose rows are codes or compared."""
    exact = _multiplied(plan)
    for group in plan.groups.values():
        for layout, bags in zip(group.layout.sequences, group.sequences, strict=True):
            if layout.search is not None and layout.search.kind in ("hash", "soft"):
                exact |= {bag.table for bag in bags if bag.feature == layout.search.child}
    own = (":codes", ":one_hot")
    return [spec.name for spec in plan.tables if spec.name not in exact and not spec.name.endswith(own)]


def _save_encoded(folder: Path, number: int, table: Encoded) -> dict[str, Any]:
    """Write the arrays of a compressed table; returns what the index says of them."""
    path = folder / f"{number}.npy"
    np.save(path, table.rows, allow_pickle=False)
    entry: dict[str, Any] = {"file": path.name, "sha256": _checksum(path), "parts": {}}
    for name, array in table.parts.items():
        part = folder / f"{number}-{name}.npy"
        np.save(part, array, allow_pickle=False)
        entry["parts"][name] = {"file": part.name, "sha256": _checksum(part)}
    return entry


def _multiplied(plan: EmbeddingPlan) -> set[str | None]:
    """Tables that numbers are multiplied with: they have a few rows, all of which are read."""
    groups = plan.groups.values()
    bags = (bag for g in groups for bag in (*g.fields, *g.first, *(b for bags in g.sequences for b in bags)))
    return {bag.table for bag in bags if bag.kind == "linear"}


def _save(path: Path, array: np.ndarray, precision: Precision) -> None:
    """What `np.save` writes, without the whole of it in memory."""
    with path.open("wb") as file:
        shape = (array.shape[0], stored_width(precision, array.shape[1]))
        header = {"descr": STORED[precision].str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for rows in row_chunks(array):
            pack(array[rows], precision).tofile(file)


class TableReader:
    """Tables mapped into memory: processes that read the same files share their pages.

    Attributes:
        plan: Tables and groups.
        weights: (rows, dim) float32 of each table, read-only; in fewer bits as `packing` has it; or compressed.
        keys: The ids of dynamic tables, by the name of their keys.
        out_of_range: How many ids lay outside their table since it was opened; each counted as no id at all. Ids that
            have no row in a dynamic table are not among them.
    """

    def __init__(
        self,
        plan: EmbeddingPlan,
        weights: Mapping[str, np.ndarray | Encoded],
        threads: int = 1,
        keys: Mapping[str, FinishedKeys] | None = None,
        tables: Any = None,
    ) -> None:
        self.plan, self.weights, self.keys, self.out_of_range = plan, dict(weights), dict(keys or {}), 0
        self._tables = tables or native_tables(self, plan, threads)
        self._lookup = Lookup(plan, self._tables)
        self._keyed = plan.keyed
        self._counting = threading.Lock()

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str],
        *,
        verify: bool = True,
        threads: int = 1,
        checksums: Mapping[str, str] | None = None,
    ) -> Self:
        """Map the tables that `write_tables` wrote.

        Args:
            directory: Their folder.
            verify: Compare every file with its checksum, which reads them all.
            threads: How many threads share a lookup; results do not depend on it.
            checksums: Of the files by name, where they were compared: what another reader has mapped is not mapped again.

        Raises:
            BundleError: A file is missing, damaged or not what the index says, or of a newer format.
        """
        folder = Path(directory)

        def known(path: Path, *read: Any) -> tuple[Any, ...] | None:
            checksum = (checksums or {}).get(path.name)
            return None if checksum is None else (checksum, *read)

        try:
            index = json.loads((folder / INDEX).read_bytes())
            if index["format"] != FORMAT or not isinstance(index["version"], int):
                raise ValueError("it holds something else")
            if index["version"] > VERSION:
                newer = f"has version {index['version']}, this release reads up to {VERSION}: upgrade to read it"
                raise BundleError(f"{folder / INDEX}: {newer}")
            plan = EmbeddingPlan.from_json(index["plan"])
            _check(plan)
            if [entry["table"] for entry in index["files"]] != [spec.name for spec in plan.tables]:
                raise ValueError("its files are not those of its plan")
            weights: dict[str, np.ndarray | Encoded] = {}
            for number, (spec, entry) in enumerate(zip(plan.tables, index["files"], strict=True)):
                path = folder / f"{number}.npy"
                if verify and _checksum(path) != entry["sha256"]:
                    raise BundleError(f"{path}: is damaged, its checksum differs")
                if "parts" in entry:
                    weights[spec.name] = _encoded(folder, number, spec, entry["parts"], known, verify=verify)
                    continue
                shape = (spec.rows, spec.dim, entry.get("precision", "fp32"))
                weights[spec.name] = mapped_once(known(path, *shape), partial(_map, path, *shape))
            if [entry["keys"] for entry in index.get("keys", ())] != [spec.name for spec in plan.keys]:
                raise ValueError("its keys are not those of its plan")
            keys = {}
            for number, (keyed, entry) in enumerate(zip(plan.keys, index.get("keys", ()), strict=True)):
                path = folder / f"keys-{number}.npy"
                if verify and _checksum(path) != entry["sha256"]:
                    raise BundleError(f"{path}: is damaged, its checksum differs")
                keys[keyed.name] = FinishedKeys(mapped_once(known(path), partial(_slots, path)))
            return cls(plan, weights, threads, keys)
        except FileNotFoundError as error:
            raise BundleError(f"{error.filename}: is missing") from error
        except (OSError, EOFError, tokenize.TokenError) as error:  # numpy tokenizes the header of an array
            raise BundleError(f"{folder}: cannot be read: {error}") from error
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise BundleError(f"{folder / INDEX}: is not an index of embedding tables: {error}") from error

    def over(self, plan: EmbeddingPlan) -> TableReader:
        """The same tables, looked up as another plan over them says."""
        return TableReader(plan, self.weights, keys=self.keys, tables=self._tables)

    def lookup(self, table: Table) -> dict[str, np.ndarray]:
        """The flat inputs of the model for a generator's table, as `easyrec.batch.Embedded` names them.

        They are bit-identical to what the trained collection gives for the same rows.

        Raises:
            DataError: A column has not the shape that the plan expects.
        """
        return self.read(TableColumns(table))

    def read(self, columns: Columns) -> dict[str, np.ndarray]:
        """The same for columns, however they are held.

        Raises:
            DataError: A column has not the shape that the plan expects.
        """
        buffers, result = self._lookup.bind(columns, rows_of=self._rows)
        for buffer in buffers:
            out = np.empty((buffer.call.num_rows, buffer.call.width), np.float32)
            self.count(buffer.call.lookup_counting(out))
            result[buffer.key] = out
        result |= self._lookup.dense(columns, lambda c: columns.dense[:, c])
        return result

    def count(self, bad: int) -> None:
        """Count ids that lay outside their table."""
        if bad:
            with self._counting:
                self.out_of_range += bad

    def sums(self, sums: SumsOf, bags: Sequence[BagSpec]) -> FieldSums:
        """What adds up fields of these tables.

        Args:
            sums: What is added up.
            bags: Of its features, in their order.
        """
        return FieldSums(sums, bags, self.plan, self._tables, self.weights)

    def floats(self) -> dict[str, np.ndarray]:
        """(rows, dim) float32 of each table; of one in fewer bits what it stands for, in memory."""
        return {name: floats_of(array) for name, array in self.weights.items()}

    def _rows(self, feature: str, ids: np.ndarray) -> np.ndarray:
        return self.keys[self._keyed[feature]].find(ids)


def native_tables(reader: TableReader, plan: EmbeddingPlan, threads: int) -> Any:
    """The tables of a plan over those of a reader, as the kernels know them."""
    arrays = [reader.weights[spec.name] for spec in plan.tables]
    known = [array.native() if isinstance(array, Encoded) else array for array in arrays]
    return native.Tables(known, [], [], [False] * len(known), threads)


def _encoded(
    folder: Path,
    number: int,
    spec: TableSpec,
    parts: Mapping[str, Mapping[str, str]],
    known: Callable[..., tuple[Any, ...] | None],
    *,
    verify: bool,
) -> Encoded:
    """A compressed table, its arrays mapped."""
    unknown = parts.keys() - PARTS
    if unknown:
        raise ValueError(f"table '{spec.name}' has a part '{min(unknown)}'")
    arrays: dict[str, np.ndarray] = {}
    for name in parts:
        path = folder / f"{number}-{name}.npy"
        if verify and _checksum(path) != parts[name]["sha256"]:
            raise BundleError(f"{path}: is damaged, its checksum differs")
        arrays[name] = mapped_once(known(path, name), partial(_array, path))
    path = folder / f"{number}.npy"
    table = Encoded(spec.rows, mapped_once(known(path, "rows"), partial(_array, path)), **arrays)
    if table.dim != spec.dim:
        raise BundleError(f"{path}: has rows of {table.dim} numbers, the index says {spec.dim}")
    return table


def _array(path: Path) -> np.ndarray:
    """The array in a file, mapped; an empty one cannot be."""
    array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    if not array.flags.c_contiguous:
        raise BundleError(f"{path}: is not contiguous")
    return np.asarray(array)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _map(path: Path, rows: int, dim: int, precision: Precision) -> np.ndarray:
    """The array in a file, mapped; an empty one cannot be."""
    shape, dtype = (rows, stored_width(precision, dim)), STORED[precision]
    empty = 0 in shape
    array: Any = np.load(path, mmap_mode=None if empty else "r", allow_pickle=False)
    if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
        raise BundleError(f"{path}: is {array.dtype} {array.shape}, the index says {dtype} {shape}")
    return np.asarray(array)


def _slots(path: Path) -> np.ndarray:
    """The slots of keys in a file, mapped."""
    array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype != np.int64 or not array.flags.c_contiguous:
        raise BundleError(f"{path}: is {array.dtype} {array.shape}, keys are int64 (slots, 2)")
    return np.asarray(array)


def _check(plan: EmbeddingPlan) -> None:
    """Refuse a plan whose columns do not lie side by side: it was not written by `write_tables`."""
    known = {keys.name for keys in plan.keys}
    for table in plan.tables:
        if table.keys is not None and table.keys not in known:
            raise ValueError(f"the plan has no keys '{table.keys}' for its table '{table.name}'")
    for name, group in plan.groups.items():
        layout: GroupLayout = group.layout
        if layout.name != name or len(layout.sequences) != len(group.sequences):
            raise ValueError(f"group '{name}' does not fit together")
        listed: list[tuple[tuple[BagSpec, ...], tuple[Span, ...] | None]] = [(group.fields, layout.fields)]
        listed += [(group.first, None)]
        listed += [(bags, s.children) for bags, s in zip(group.sequences, layout.sequences, strict=True)]
        for sequence in layout.sequences:
            _check_search(sequence)
        for bags, spans in listed:
            start = 0
            for number, bag in enumerate(bags):
                span = spans[number] if spans is not None else Span(bag.feature, bag.dim, start)
                if (span.name, span.dim, span.start, start) != (bag.feature, bag.dim, bag.start, bag.start):
                    raise ValueError(f"the columns of '{bag.feature}' do not fit together")
                start += bag.dim
        start = 0
        for numeric in layout.numeric:
            if numeric.start != start:
                raise ValueError(f"the columns of '{numeric.name}' do not fit together")
            start += numeric.size


def _check_search(sequence: SequenceLayout) -> None:
    """Refuse a search that no plan holds."""
    search = sequence.search
    if search is None:
        return
    numbers = all(type(n) is int for n in (search.top, search.bits, search.seed))
    if (
        search.kind not in ("newest", "hard", "hash", "soft")
        or not numbers
        or search.top < 1
        or not 1 <= search.bits <= 64
    ):
        raise ValueError(f"the search in '{sequence.name}' is unknown: {search}")
