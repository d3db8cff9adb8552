"""Numbers times vectors, where only sums of them are read: the vectors go into what sums.

A field of a number is the number times a vector, and a layer that reads the fields multiplies that by a matrix: it may as
well multiply the number by the vector times the matrix. So the program is given the numbers themselves, a column in the
place of a vector, and its first layer is as much smaller. The sum over fields and that of their squares, of which a
factorization machine is made, take the numbers and their squares.

What reads a field on its own needs its vector: the fields of such a group stay as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from easyrec.export.calls import Call, Program, Value, filled, result_of
from easyrec.export.split.draft import WEIGHTS, Draft

SAME = ("aten.alias.default", "aten.clone.default", "aten.view.default", "aten.reshape.default")
SQUARES = ("aten.square.default", "aten.pow.Tensor_Scalar")
PRODUCTS = ("aten.matmul.default", "aten.mm.default")
FLAT, STACKED = 2, 3
"""Dimensions of fields side by side, and of fields behind each other."""


class UnfoldableError(Exception):
    """Something reads a field on its own."""

    def __init__(self, key: str) -> None:
        self.key = key


@dataclass(frozen=True)
class Fields:
    """The fields of an input, of which some are numbers times vectors.

    Attributes:
        dims: Width of each.
        vectors: What the numbers of each are multiplied with, (numbers, dim); None: it is no such field.
    """

    dims: tuple[int, ...]
    vectors: tuple[Tensor | None, ...]

    @property
    def num_plain(self) -> int:
        """Columns of the fields that stay, which come first in the new input; numbers follow."""
        return len(self._columns(plain=True))

    @property
    def width(self) -> int:
        """Columns of the new input."""
        return self.num_plain + sum(len(v) for v in self.vectors if v is not None)

    def onto(self, matrix: Tensor) -> Tensor:
        """What multiplies the new input, of what multiplies the old one, (columns, n)."""
        given = matrix.double()
        numbers = torch.block_diag(*self.each) @ given[self._columns(plain=False)]
        return torch.cat([given[self._columns(plain=True)], numbers]).float().contiguous()

    @property
    def each(self) -> list[Tensor]:
        """The vectors."""
        return [vectors.double() for vectors in self.vectors if vectors is not None]

    def squared(self) -> Fields | None:
        """The fields of squares of numbers, times squares of vectors; None where a field is a sum of several."""
        if any(len(vectors) != 1 for vectors in self.each):
            return None
        return replace(self, vectors=tuple(None if v is None else v.square() for v in self.vectors))

    def _columns(self, *, plain: bool) -> list[int]:
        found, at = [], 0
        for dim, vectors in zip(self.dims, self.vectors, strict=True):
            if (vectors is None) is plain:
                found += range(at, at + dim)
            at += dim
        return found


@dataclass(frozen=True)
class _Base:
    """Fields as the new program has them.

    Attributes:
        key: The input that they follow from.
        number: The value in the new program, (rows, fields.width).
        fields: What its columns are.
        stacked: Whether the old program has them behind each other.
    """

    key: str
    number: int
    fields: Fields
    stacked: bool = False


_Known: TypeAlias = "Value | _Base"


def fold(
    program: Program, example: Mapping[str, Tensor], fields: Mapping[str, Fields]
) -> tuple[Program, frozenset[str]]:
    """A program for requests that is given numbers, and the groups whose numbers it is given.

    Args:
        program: The old one.
        example: Inputs of it.
        fields: By input with fields of numbers, its fields.
    """
    left = {key: value for key, value in fields.items() if key in program.inputs}
    while left:
        try:
            return _Folding(program, example, left).run(), frozenset(map(group_of, left))
        except UnfoldableError as told:
            left = {key: value for key, value in left.items() if group_of(key) != group_of(told.key)}
    return program, frozenset()


def group_of(key: str) -> str:
    """The group of an input."""
    return key.partition(":")[2]


class _Folding(Draft):
    """One reading of a program."""

    def __init__(self, program: Program, example: Mapping[str, Tensor], fields: Mapping[str, Fields]) -> None:
        super().__init__()
        self.program, self.fields = program, fields
        self.inputs = list(program.inputs)
        self.shapes: list[Any] = [*(example[name] for name in program.inputs), *program.weights.values()]
        self.known: list[_Known] = []

    def run(self) -> Program:
        """The new program.

        Raises:
            UnfoldableError: Something reads a field on its own; names the input.
        """
        for number, name in enumerate(self.inputs):
            fields = self.fields.get(name)
            self.known.append(Value(number) if fields is None else _Base(name, number, fields))
        self.known += [self.weight(tensor) for tensor in self.program.weights.values()]
        for call in self.program.calls:
            with torch.inference_mode():
                self.shapes.append(result_of(call, self.shapes))
            self.known.append(self._translated(call))
        outputs = {name: _plain(self.known[number]).number for name, number in self.program.outputs.items()}
        return self.finished(outputs)

    def _translated(self, call: Call) -> _Known:
        args = [filled(list(a) if isinstance(a, tuple) and not isinstance(a, Value) else a, self.known) for a in call.args]
        bases = [a for a in args if isinstance(a, _Base)]
        if len(bases) == 1:
            found = self._folded(call, args)
            if found is None:
                raise UnfoldableError(bases[0].key)
            return found
        return Value(self.emit(call.operator, *(_all_plain(a) for a in args), **call.kwargs))

    def _folded(self, call: Call, args: Sequence[Any]) -> _Known | None:
        """A call over fields; None: it reads one on its own."""
        match args:
            case [_Base() as base, *_] if call.operator in SAME:
                return self._viewed(base)
            case [_Base() as base, *more] if call.operator in SQUARES and more in ([], [2]):
                fields = base.fields.squared()
                return None if fields is None else replace(base, number=self._of(base, call, *more), fields=fields)
            case [_Base(stacked=False) as base, Value() as weight, *bias] if call.operator == "aten.linear.default":
                matrix = self._weight(weight)
                turned = None if matrix is None else base.fields.onto(matrix.t()).t().contiguous()
                return None if turned is None else Value(self._of(base, call, turned, *bias))
            case [added, _Base(stacked=False) as base, Value() as weight] if call.operator == "aten.addmm.default":
                matrix = self._weight(weight)
                if matrix is None or call.kwargs:
                    return None
                return Value(self.emit(call.operator, added, Value(base.number), base.fields.onto(matrix)))
            case [_Base(stacked=False) as base, Value() as weight] if call.operator in PRODUCTS:
                matrix = self._weight(weight)
                if matrix is None or matrix.dim() != FLAT:
                    return None
                return Value(self._of(base, call, base.fields.onto(matrix)))
            case [_Base() as base, [1 | -2], *keep] if call.operator == "aten.sum.dim_IntList" and base.stacked:
                return Value(self._sum_of_fields(base, keep in ([True],)))
            case [_Base(stacked=False) as base, [1 | -1], *keep] if call.operator == "aten.sum.dim_IntList":
                summed = self.emit("aten.mm.default", Value(base.number), base.fields.onto(torch.ones(sum(base.fields.dims), 1)))
                return Value(summed if keep == [True] else self.emit("aten.squeeze.dims", Value(summed), [1]))
        return None

    def _of(self, base: _Base, call: Call, *more: Any) -> int:
        return self.emit(call.operator, Value(base.number), *more, **call.kwargs)

    def _weight(self, value: Value) -> Tensor | None:
        """The weight that a value is."""
        place = value.number - WEIGHTS
        return list(self.weights.values())[place] if 0 <= place < len(self.weights) else None

    def _viewed(self, base: _Base) -> _Base | None:
        """The same numbers in another shape."""
        found = self.shapes[len(self.known)]
        dims = base.fields.dims
        if found.dim() == FLAT and found.shape[1] == sum(dims):
            return replace(base, stacked=False)
        if found.dim() == STACKED and set(dims) == {found.shape[2]} and len(dims) == found.shape[1]:
            return replace(base, stacked=True)
        return None

    def _sum_of_fields(self, base: _Base, keep: bool) -> int:
        """The fields that stay, added up, and numbers times vectors."""
        fields, count = base.fields, base.fields.num_plain
        vectors = torch.cat(fields.each).float()
        numbers = Value(self.emit("aten.slice.Tensor", Value(base.number), 1, count, fields.width))
        if count:
            plain = self.emit("aten.slice.Tensor", Value(base.number), 1, 0, count)
            stacked = self.emit("aten.view.default", Value(plain), [-1, count // fields.dims[0], fields.dims[0]])
            summed = self.emit("aten.sum.dim_IntList", Value(stacked), [1])
            found = self.emit("aten.addmm.default", Value(summed), numbers, vectors)
        else:
            found = self.emit("aten.mm.default", numbers, vectors)
        return self.emit("aten.unsqueeze.default", Value(found), 1) if keep else found


def _plain(known: _Known) -> Value:
    """A value that is no fields.

    Raises:
        UnfoldableError: It is.
    """
    if isinstance(known, _Base):
        raise UnfoldableError(known.key)
    return known


def _all_plain(argument: Any) -> Any:
    if isinstance(argument, list):
        return [_all_plain(a) for a in argument]
    return _plain(argument) if isinstance(argument, _Base) else argument
