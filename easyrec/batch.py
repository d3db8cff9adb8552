"""What flows into a model: `Batch`, the columns of some rows, and `Embedded`, the same after lookup."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from easyrec.device import sent
from easyrec.layout import GroupLayout, SequenceLayout, Span
from feature_generator.columns import Column, Ragged, Table

if TYPE_CHECKING:
    from feature_generator import OutputSpec

__all__ = ["Batch", "Embedded", "GroupLayout", "Jagged", "Seq", "SequenceLayout", "Span"]


class _Writable:
    """A read-only array's memory without its lock: torch warns of such arrays, and nobody writes to a batch."""

    def __init__(self, array: np.ndarray) -> None:
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.array, self.__array_interface__ = array, interface


def as_tensor(array: np.ndarray) -> Tensor:
    """The array's memory as a tensor, without a copy."""
    if not array.flags.writeable:
        array = np.asarray(_Writable(array))
    return torch.from_numpy(array)


@dataclass(frozen=True)
class Jagged:
    """Values of varying number per row.

    Attributes:
        values: (n,) int64 ids, or (n, value_dim) float32 vectors.
        offsets: (B+1,) int64, the values (elements, where there are `key_offsets`) of row b are
            `offsets[b] .. offsets[b+1]`; None: exactly one per row.
        weights: (n,) float32, one per id.
        key_offsets: (elements+1,) int64 into values, for sequences whose elements hold several ids.
    """

    values: Tensor
    offsets: Tensor | None = None
    weights: Tensor | None = None
    key_offsets: Tensor | None = None

    @staticmethod
    def of(ragged: Ragged) -> Jagged:
        """The same memory as tensors."""
        parts = (ragged.values, ragged.offsets, ragged.weights, ragged.key_offsets)
        return Jagged(*(None if p is None else as_tensor(p) for p in parts))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Batch:
    """Some rows of data after the FeatureGenerator.

    Attributes:
        size: B, the number of rows.
        dense: (B, n) float32, all dense outputs side by side.
        dense_slices: Columns of each dense output inside `dense`.
        sparse: Ids per row.
        sequences: Ids or vectors per step.
        labels: (B,) float32 each.
        sample_weight: (B,) float32, or None.
        reserved: Raw columns that pass through to predictions and grouped metrics.
        matches: While a matching model trains, the items that its users are compared with.
    """

    size: int
    dense: Tensor
    dense_slices: Mapping[str, slice]
    sparse: Mapping[str, Jagged]
    sequences: Mapping[str, Jagged] = field(default_factory=dict)
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    sample_weight: Tensor | None = None
    reserved: pa.Table | None = None
    matches: Matches | None = None

    @staticmethod
    def of(
        table: Table,
        labels: Mapping[str, np.ndarray] | None = None,
        sample_weight: np.ndarray | None = None,
        reserved: pa.Table | None = None,
        outputs: Mapping[str, OutputSpec] | None = None,
    ) -> Batch:
        """Wrap a generator's table, without copying.

        Args:
            table: Columns of B rows.
            labels: (B,) float32 each.
            sample_weight: (B,) float32.
            reserved: B rows.
            outputs: The generator's outputs; they tell which ragged columns are sequences. Without them those
                with `key_offsets` or vectors are.
        """
        sparse: dict[str, Jagged] = {}
        sequences: dict[str, Jagged] = {}
        for name, column in table.items():
            if isinstance(column, Column):
                continue
            sequence = column.key_offsets is not None or column.values.ndim > 1
            if outputs is not None:
                sequence = outputs[name].kind in ("sparse_sequence", "dense_sequence")
            (sequences if sequence else sparse)[name] = Jagged.of(column)
        return Batch(
            size=table.num_rows,
            dense=as_tensor(table.dense),
            dense_slices=table.dense_slices,
            sparse=sparse,
            sequences=sequences,
            labels={name: as_tensor(values) for name, values in (labels or {}).items()},
            sample_weight=None if sample_weight is None else as_tensor(sample_weight),
            reserved=reserved,
        )

    def table(self) -> Table:
        """The features as the generator's table, without copying; the inverse of `of`."""
        ragged = {}
        for name, one in (*self.sparse.items(), *self.sequences.items()):
            parts = (None if p is None else p.numpy() for p in (one.offsets, one.weights, one.key_offsets))
            ragged[name] = Ragged(one.values.numpy(), *parts)
        return Table(self.size, ragged, self.dense.numpy(), self.dense_slices)

    def against(self, matches: Matches) -> Batch:
        """The same rows, whose users are compared with these items."""
        return replace(self, matches=matches)

    def on(self, device: torch.device) -> Batch:
        """The same rows, with what losses read on a device; the columns, which lookups read, stay where they are."""
        if device.type == "cpu":
            return self
        return replace(
            self,
            labels={name: sent(values, device) for name, values in self.labels.items()},
            sample_weight=None if self.sample_weight is None else sent(self.sample_weight, device),
            matches=None if self.matches is None else self.matches.on(device),
        )

    def codes(self, column: str) -> Tensor:
        """(B,) int64, equal where the reserved column's values are; null is a value."""
        assert self.reserved is not None, "the loader was asked for the column"
        array = self.reserved.column(column).combine_chunks()
        if isinstance(array, pa.DictionaryArray):
            array = array.dictionary_decode()
        return as_tensor(array.dictionary_encode("encode").indices.to_numpy(zero_copy_only=False)).long()

    def jagged(self, name: str) -> Jagged:
        """The ragged column `name`, sequence or not."""
        found = self.sparse.get(name)
        return self.sequences[name] if found is None else found


@dataclass(frozen=True)
class Matches:
    """The items that P positions of a batch are compared with; a position is a user, or a step of one's sequence.

    Attributes:
        items: Item features of C candidates.
        numbers: (C,) int64, which item of the catalogue each is.
        targets: (P,) int64, which of the candidates is the position's own.
        first_shared: Candidates from here on, each item once, are compared with every position. Those before it, if
            any, are the positions' own; else each position's own is among the shared ones.
        rows: (P,) int64, whose positions they are, ascending.
        log_q: (C,) float32, log of the probability that each is a candidate; None: all alike.
        end_shared: Where the shared candidates end; None: they are the last.
        spared: (2, S) int64, positions, and shared candidates, counted from the first, that each is not compared with.
        apart: (P, H) int64, candidates that are compared with one position alone, -1 for none; as certain to be there.
        steps: (P,) int64, which of all rows' steps each is about, ascending; None where positions are users.
        nodes: (P, M) int64, the nodes of a tree that positions are learned with, all of it counted level by level; of each
            level one that lies above the position's own item.
    """

    items: Batch
    numbers: Tensor
    targets: Tensor
    rows: Tensor
    first_shared: int = 0
    log_q: Tensor | None = None
    end_shared: int | None = None
    spared: Tensor | None = None
    apart: Tensor | None = None
    steps: Tensor | None = None
    nodes: Tensor | None = None

    def on(self, device: torch.device) -> Matches:
        """The same on a device; the features of the items stay where they are."""
        if device.type == "cpu":
            return self
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {name: sent(part, device) for name, part in parts.items() if isinstance(part, Tensor)}
        return replace(self, **moved)

    @property
    def columns(self) -> Tensor:
        """(P,) int64, where the position's own stands among the logits of its candidates."""
        return torch.zeros_like(self.targets) if self.first_shared else self.targets


class Seq(NamedTuple):
    """A sequence after lookup, all rows' steps one after another.

    Attributes:
        values: (N, D), the embeddings of a step's children side by side.
        rows: (N,) int64, the row of each step, ascending.
        offsets: (B+1,) int64, row b has the steps `offsets[b] .. offsets[b+1]`.
    """

    values: Tensor
    rows: Tensor
    offsets: Tensor


class Embedded:
    """The inputs of a model: a flat dict of tensors, and the layout that names their columns.

    Args:
        tensors: By key: `emb:<group>` (B, width), `first:<group>` (B, F), `dense:<group>` (B, n), `num:<group>` (B, m)
            of the numeric fields, and `seq:`, `rows:`, `offsets:<group>/<sequence>`. An exported program takes the
            same dict.
        layouts: The layout of each group.
        matches: What the users are compared with, in training.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], layouts: Mapping[str, GroupLayout], matches: Matches | None = None
    ) -> None:
        self.tensors, self.layouts, self.matches = tensors, layouts, matches

    def on(self, device: torch.device) -> Embedded:
        """The same on a device; gradients find their way back."""
        if device.type == "cpu":
            return self
        tensors = {key: sent(tensor, device) for key, tensor in self.tensors.items()}
        return Embedded(tensors, self.layouts, None if self.matches is None else self.matches.on(device))

    def fields(self, group: str) -> Tensor:
        """(B, F, D), one embedding per field; the group's dims must be equal."""
        layout = self.layouts[group]
        flat = self.tensors[f"emb:{group}"]
        return flat.view(flat.shape[0], layout.num_fields, layout.dim)

    def flat(self, group: str) -> Tensor:
        """(B, width + n), all embeddings and then all dense inputs side by side."""
        layout = self.layouts[group]
        if not layout.dense:
            return self.tensors[f"emb:{group}"]
        if not layout.width:
            return self.tensors[f"dense:{group}"]
        return torch.cat([self.tensors[f"emb:{group}"], self.tensors[f"dense:{group}"]], dim=1)

    def first(self, group: str) -> Tensor:
        """(B, F), the first-order weight of each field."""
        return self.tensors[f"first:{group}"]

    def dense(self, group: str) -> Tensor:
        """(B, n), the group's numeric inputs; n may be 0."""
        if self.layouts[group].dense:
            return self.tensors[f"dense:{group}"]
        some = next(t for k, t in self.tensors.items() if k.startswith(("emb:", "first:", "dense:")))
        return some.new_empty((some.shape[0], 0))

    def feature(self, group: str, name: str) -> Tensor:
        """(B, D), the embedding of one field."""
        return self.tensors[f"emb:{group}"][:, self.layouts[group].field(name).columns]

    def sequence(self, name: str, group: str | None = None) -> Seq:
        """The steps of a sequence; `group` is needed where several groups hold it."""
        key = f"{group or self._group_of(name)}/{name}"
        return Seq(self.tensors[f"seq:{key}"], self.tensors[f"rows:{key}"], self.tensors[f"offsets:{key}"])

    def query(self, name: str, group: str | None = None) -> Tensor:
        """(B, D), the candidate that a sequence is compared with: for each child the field paired with it.

        Raises:
            KeyError: A child is paired with no field.
        """
        group = group or self._group_of(name)
        layout = self.layouts[group].sequence(name)
        for child, candidate in zip(layout.children, layout.query, strict=True):
            if candidate is None:
                raise KeyError(f"'{child.name}' of sequence '{name}' is paired with no feature of group '{group}'")
        return torch.cat([self.feature(group, candidate) for candidate in layout.query if candidate], dim=1)

    def _group_of(self, sequence: str) -> str:
        for group, layout in self.layouts.items():
            if any(s.name == sequence for s in layout.sequences):
                return group
        raise KeyError(f"no group has a sequence '{sequence}'")
