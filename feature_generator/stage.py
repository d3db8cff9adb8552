"""Some features as one native plan: record batches in, a table out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from feature_generator.columns import BadValue, Ragged, RaggedColumns, Table, lists, value_lists
from feature_generator.errors import DataError
from feature_generator.incoming import missing
from feature_generator.native import Plan
from feature_generator.program import BITS, Program
from feature_generator.sinks import OutputSpec

COLUMN = "column '"
"""What the kernels begin an error with that is about one column."""


class Stage:
    """A program, and how its buffers become tables.

    Args:
        program: What to run.
        specs: Outputs by name, stubs among them.
        handed: Names that a later stage reads.
        folded: Columns of one row of the side `folded`, where the program reads any.
    """

    def __init__(
        self,
        program: Program,
        specs: Mapping[str, OutputSpec],
        handed: Collection[str] = (),
        folded: pa.RecordBatch | None = None,
    ) -> None:
        self.program = program
        self.needs = {side: [name for name, own in program.columns if own == side] for side in BITS}
        self._plan = Plan(program.sides, program.units)
        self._names = [node.name if node is not None else "" for node in program.nodes]
        # Of the nodes that are handed out: their place, and whether they are outputs or read by a later stage alone.
        made = [(i, specs[node.name]) for i, node in enumerate(program.nodes) if node is not None]
        made = [(i, spec) for i, spec in made if not spec.config.stub_type or spec.name in handed]
        self._ragged = [(i, spec.name) for i, spec in made if spec.kind != "dense" and not spec.config.stub_type]
        self._handed = [(i, spec) for i, spec in made if spec.name in handed]
        self._slices, self._places, start = {}, {}, 0
        for _, spec in made:
            if spec.kind == "dense" and spec.num_embeddings is None and not _holds_words(spec):
                place = self._places[spec.name] = slice(start, start + spec.value_dim)
                start += spec.value_dim
                if not spec.config.stub_type:
                    self._slices[spec.name] = place
        inside = {*self._slices, *(name for _, name in self._ragged)}
        self._outputs = [name for name in specs if name in inside]  # in the order of the configs
        texts = program.constants
        self._constants = []
        if texts:
            batch = pa.RecordBatch.from_arrays([pa.array([text]) for text in texts], texts)
            self._constants.append((BITS["const"], batch))
        if folded is not None:
            self._constants.append((BITS["folded"], folded))

    def run(
        self, sources: Sequence[tuple[int, pa.RecordBatch]], rows: int, threads: int = 1
    ) -> tuple[Table, pa.RecordBatch | None]:
        """The features of `rows` rows, and what later stages read of them.

        Args:
            sources: (side bits, batch) pairs; a column comes from the first batch that has its side and its name. A
                batch of one row stands beside all rows.
            rows: Rows.
            threads: Threads to compute on; the result does not depend on it.

        Raises:
            KeyError: A column is missing.
            ValueError: A column cannot be read as its features need it.
        """
        outputs, dense, bad = self._plan.run([*sources, *self._constants], rows, threads)
        ragged = RaggedColumns({name: outputs[i] for i, name in self._ragged})
        table = Table(rows, ragged, dense, self._slices, names=self._outputs)
        if bad:
            table.bad = [self._bad(*one) for one in bad]
        return table, self._hand(outputs, dense) if self._handed else None

    def _bad(self, row: int, feature: int, column: int, reason: str) -> BadValue:
        name = self._names[feature]
        return BadValue(row, self.program.columns[column][0] if column >= 0 else name, reason, name)

    def _hand(self, outputs: Sequence[Any], dense: Any) -> pa.RecordBatch:
        arrays = {}
        for i, spec in self._handed:
            if spec.name in self._places:
                arrays[spec.name] = _flat(np.ascontiguousarray(dense[:, self._places[spec.name]]))
            elif _holds_words(spec):
                arrays[spec.name] = value_lists(*outputs[i])
            else:
                column = Ragged(*outputs[i])
                values = _flat(column.values) if column.values.ndim == 2 else pa.array(column.values)
                arrays[spec.name] = lists(values, column)
        return pa.RecordBatch.from_pydict(arrays)

    def data_error(self, error: Exception, known: Sequence[str]) -> DataError:
        """What `run` raised, in words."""
        if isinstance(error, KeyError):
            return missing(str(error.args[0]), known)
        column, named, text = str(error).partition("': ")
        if named and column.startswith(COLUMN):
            return DataError(text, column=column.removeprefix(COLUMN))
        return DataError(str(error))


def _holds_words(spec: OutputSpec) -> bool:
    """Whether a stub keeps words, which only another feature turns into ids."""
    return spec.kind.startswith("sparse") and spec.num_embeddings is None and bool(spec.config.stub_type)


def _flat(vectors: Any) -> pa.Array:
    """Vectors as others read them: numbers, or lists where they are longer than one."""
    flat, width = pa.array(vectors.reshape(-1)), vectors.shape[1]
    if width == 1:
        return flat
    ends = np.arange(0, (len(vectors) + 1) * width, width, dtype=np.int64)
    return pa.LargeListArray.from_arrays(pa.array(ends), flat)
