"""Fields of which only sums are read: what follows from a field is computed ahead, or with less.

A field of a number is the number times a vector, and a layer that reads the fields multiplies that by a matrix: it may as
well multiply the number by the vector times the matrix. So the program is given the numbers themselves, a column in the
place of a vector, and its first layer is as much smaller. The sum over fields and that of their squares, of which a
factorization machine is made, take the numbers and their squares.

A field of an id is a row of a table. What a layer makes of it is a row of the table times a part of the matrix, and where a
table has few rows all of them are computed ahead: then the program is given the sums of such rows, and multiplies nothing.
The same goes for the sums of a factorization machine, and for numbers beside.

What reads a field on its own needs its vector: the fields of such a group stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from easyrec.embedding.sums import Block
from easyrec.export.calls import Call, Program, Value, filled, result_of
from easyrec.export.split.draft import WEIGHTS, Draft

SAME = ("aten.alias.default", "aten.clone.default", "aten.view.default")
SQUARES = ("aten.square.default", "aten.pow.Tensor_Scalar")
SUM = "aten.sum.dim_IntList"
FLAT, STACKED = 2, 3
"""Dimensions of fields side by side, and of fields behind each other."""


class UnfoldableError(Exception):
    """Something reads a field on its own."""

    def __init__(self, key: str) -> None:
        self.key = key


@dataclass(frozen=True)
class Fields:
    """The fields of an input.

    Attributes:
        dims: Width of each.
        vectors: What the numbers of each are multiplied with, (numbers, dim); None: it is no such field.
        ahead: Whether what follows from each is computed ahead, but for numbers; empty: of none. Where it is of any,
            numbers are added to it.
    """

    dims: tuple[int, ...]
    vectors: tuple[Tensor | None, ...]
    ahead: tuple[bool, ...] = ()

    @property
    def summed(self) -> list[bool]:
        """Whether the program is given sums of what follows from a field, not the field."""
        if not any(self.ahead):
            return [False] * len(self.dims)
        return [ahead or v is not None for ahead, v in zip(self.ahead, self.vectors, strict=True)]

    @property
    def num_plain(self) -> int:
        """Columns of the fields that stay, which come first in the new input; then come numbers, or sums."""
        return len(self._columns(self._plain))

    @property
    def num_numbers(self) -> int:
        """Columns of numbers."""
        return sum(len(v) for v, numbers in zip(self.vectors, self._numbers, strict=True) if numbers and v is not None)

    def onto(self, matrix: Tensor) -> Tensor:
        """What multiplies the fields that stay and numbers, of what multiplies all fields, (columns, n)."""
        given = matrix.double()
        plain = given[self._columns(self._plain)]
        return torch.cat([plain, self.block() @ given[self._columns(self._numbers)]]).float().contiguous()

    def block(self) -> Tensor:
        """What numbers are multiplied with to be their fields."""
        chosen = [v.double() for v, own in zip(self.vectors, self._numbers, strict=True) if own and v is not None]
        if not chosen:
            return torch.zeros(0, 0, dtype=torch.float64)
        found: Tensor = torch.block_diag(*chosen)  # type: ignore[no-untyped-call]
        return found

    def each(self) -> Tensor:
        """The vectors behind each other."""
        chosen = [v for v, own in zip(self.vectors, self._numbers, strict=True) if own and v is not None]
        return torch.cat(chosen).contiguous()

    def ahead_of(self, matrix: Tensor, power: int) -> Block:
        """What is added up of the fields whose sums are given: a part of a matrix for each, or of what it is of numbers."""
        parts, at = [], 0
        for dim, vectors, summed in zip(self.dims, self.vectors, self.summed, strict=True):
            if summed:
                part = matrix[at : at + dim].double()
                parts.append(part if vectors is None else vectors.double() @ part)
            at += dim
        return Block(power, torch.cat(parts).float().contiguous().numpy())

    def squared(self) -> Fields | None:
        """The fields of squares of numbers, times squares of vectors; None where a field is a sum of several."""
        if any(v is not None and len(v) != 1 for v in self.vectors):
            return None
        return replace(self, vectors=tuple(None if v is None else v.square() for v in self.vectors))

    @property
    def _plain(self) -> list[bool]:
        return [v is None and not summed for v, summed in zip(self.vectors, self.summed, strict=True)]

    @property
    def _numbers(self) -> list[bool]:
        return [v is not None and not summed for v, summed in zip(self.vectors, self.summed, strict=True)]

    def _columns(self, chosen: Sequence[bool]) -> list[int]:
        found: list[int] = []
        at = 0
        for dim, own in zip(self.dims, chosen, strict=True):
            found += range(at, at + dim) if own else ()
            at += dim
        return found


@dataclass(frozen=True)
class _Base:
    """Fields as the new program has them.

    Attributes:
        key: The input that they follow from.
        number: The value in the new program that holds the fields that stay, and numbers.
        fields: What its columns are.
        power: Of which power of the input's fields they are.
        stacked: Whether the old program has them behind each other.
    """

    key: str
    number: int
    fields: Fields
    power: int = 1
    stacked: bool = False


@dataclass(frozen=True)
class _Beside:
    """Values side by side of which some are fields, and their widths in the old program."""

    parts: tuple[tuple[Value | _Base, int], ...]

    @property
    def key(self) -> str:
        """An input that it follows from."""
        return next(part.key for part, _ in self.parts if isinstance(part, _Base))


_Known: TypeAlias = "Value | _Base | _Beside"


@dataclass(frozen=True)
class FoldedProgram:
    """A program for requests that reads less of fields.

    Attributes:
        program: The program.
        groups: Those in whose inputs it is given less.
        blocks: By input, what is added up of fields, side by side behind the fields that stay.
    """

    program: Program
    groups: frozenset[str]
    blocks: Mapping[str, Sequence[Block]]


def fold(program: Program, example: Mapping[str, Tensor], fields: Mapping[str, Fields]) -> FoldedProgram:
    """The program that is given numbers and sums in place of fields, where it allows that.

    Args:
        program: One for requests.
        example: Inputs of it.
        fields: By input of which something may be folded, its fields.
    """
    left = {key: value for key, value in fields.items() if key in program.inputs}
    while left:
        folding = _Folding(program, example, left)
        try:
            return FoldedProgram(folding.run(), frozenset(map(group_of, left)), folding.blocks)
        except UnfoldableError as told:
            left = {key: value for key, value in left.items() if group_of(key) != group_of(told.key)}
    return FoldedProgram(program, frozenset(), {})


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
        self.blocks: dict[str, list[Block]] = {key: [] for key, own in fields.items() if any(own.ahead)}

    def run(self) -> Program:
        """The new program.

        Raises:
            UnfoldableError: Something reads a field on its own; names the input.
        """
        for number, name in enumerate(self.inputs):
            fields = self.fields.get(name)
            self.known.append(Value(number) if fields is None else self._base(number, name, fields))
        self.known += [self.weight(tensor) for tensor in self.program.weights.values()]
        for call in self.program.calls:
            with torch.inference_mode():
                self.shapes.append(result_of(call, self.shapes))
            self.known.append(self._translated(call))
        outputs = {name: _plain(self.known[number]).number for name, number in self.program.outputs.items()}
        return self.finished(outputs)

    def _base(self, number: int, name: str, fields: Fields) -> _Base:
        if any(fields.ahead) and fields.num_plain:
            number = self.emit("aten.slice.Tensor", Value(number), 1, 0, fields.num_plain)
        return _Base(name, number, fields)

    def _translated(self, call: Call) -> _Known:
        args = filled(list(call.args), self.known)
        read = [a for a in _flat(args) if isinstance(a, _Base | _Beside)]
        if not read:
            return Value(self.emit(call.operator, *args, **call.kwargs))
        found: _Known | None = self._beside(call, args) if call.operator == "aten.cat.default" else None
        if found is None and len(read) == 1:
            found = self._multiplied(call, args) or self._folded(call, args)
        if found is None:
            raise UnfoldableError(read[0].key)
        return found

    def _beside(self, call: Call, args: Sequence[Any]) -> _Beside | None:
        """Values side by side."""
        values, dim = (*args, 0)[:2]
        shapes = [self.shapes[v.number].shape for v in call.args[0]]
        flat = all(isinstance(v, Value) or (isinstance(v, _Base) and not v.stacked) for v in values)
        if not flat or dim not in (1, -1) or any(len(shape) != FLAT for shape in shapes):
            return None
        return _Beside(tuple((value, int(shape[1])) for value, shape in zip(values, shapes, strict=True)))

    def _multiplied(self, call: Call, args: Sequence[Any]) -> Value | None:
        """A product of fields, or of fields beside others, with a weight; None: it is none."""
        match call.operator, args:
            case "aten.linear.default", [_Base() | _Beside() as base, Value() as weight, *bias]:
                matrix, added = self._weight(weight), bias[0] if bias else None
                matrix = None if matrix is None else matrix.t()
            case "aten.addmm.default", [Value() as added, _Base() | _Beside() as base, Value() as weight]:
                matrix = None if call.kwargs else self._weight(weight)
            case (("aten.matmul.default" | "aten.mm.default"), [_Base() | _Beside() as base, Value() as weight]):
                matrix, added = self._weight(weight), None
            case _:
                return None
        if matrix is None or matrix.dim() != FLAT or (isinstance(base, _Base) and base.stacked):
            return None
        if isinstance(base, _Base):
            return self._product(base, matrix, added)
        at = 0
        for part, width in base.parts:
            rows = matrix[at : at + width].contiguous()
            at += width
            if isinstance(part, _Base):
                added = self._product(part, rows, added)
            elif added is None:
                added = Value(self.emit("aten.mm.default", part, rows))
            else:
                added = Value(self.emit("aten.addmm.default", added, part, rows))
        return added

    def _folded(self, call: Call, args: Sequence[Any]) -> _Known | None:
        """A call over fields; None: it reads one on its own."""
        match args:
            case [_Base() as base, *_] if call.operator in SAME:
                return self._viewed(base)
            case [_Base(power=1) as base, *more] if call.operator in SQUARES and more in ([], [2]):
                fields = base.fields.squared()
                if fields is None:
                    return None
                number = self.emit("aten.square.default", Value(base.number))
                return replace(base, number=number, fields=fields, power=2)
            case [_Base(stacked=True) as base, [1 | -2], *keep] if call.operator == SUM:
                summed = self._sum_of_fields(base)
                return Value(self.emit("aten.unsqueeze.default", summed, 1)) if keep == [True] else summed
            case [_Base(stacked=False) as base, [1 | -1], *keep] if call.operator == SUM:
                summed = self._product(base, torch.ones(sum(base.fields.dims), 1))
                return summed if keep == [True] else Value(self.emit("aten.squeeze.dims", summed, [1]))
        return None

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

    def _product(self, base: _Base, matrix: Tensor, added: Value | None = None) -> Value:
        """Fields times a matrix."""
        found = self._given(base, matrix)
        if base.fields.num_plain or base.fields.num_numbers:
            rest = base.fields.onto(matrix)
            if added is None:
                product = self.emit("aten.mm.default", Value(base.number), rest)
            else:
                product = self.emit("aten.addmm.default", added, Value(base.number), rest)
            added = Value(product)
        return self._both(found, added)

    def _sum_of_fields(self, base: _Base) -> Value:
        """The sum over all fields."""
        fields, count, dim = base.fields, base.fields.num_plain, base.fields.dims[0]
        found, added = self._given(base, torch.eye(dim).repeat(len(fields.dims), 1)), None
        if count:
            plain = (
                self.emit("aten.slice.Tensor", Value(base.number), 1, 0, count) if fields.num_numbers else base.number
            )
            stacked = self.emit("aten.view.default", Value(plain), [-1, count // dim, dim])
            added = Value(self.emit(SUM, Value(stacked), [1]))
        if fields.num_numbers:
            end = count + fields.num_numbers
            numbers = Value(self.emit("aten.slice.Tensor", Value(base.number), 1, count, end))
            if added is None:
                added = Value(self.emit("aten.mm.default", numbers, fields.each()))
            else:
                added = Value(self.emit("aten.addmm.default", added, numbers, fields.each()))
        return self._both(found, added)

    def _given(self, base: _Base, matrix: Tensor) -> Value | None:
        """What is computed ahead of a product of fields, as the new input has it."""
        if base.key not in self.blocks:
            return None
        blocks = self.blocks[base.key]
        at = self.fields[base.key].num_plain + sum(block.width for block in blocks)
        blocks.append(base.fields.ahead_of(matrix, base.power))
        number = self.inputs.index(base.key)
        return Value(self.emit("aten.slice.Tensor", Value(number), 1, at, at + matrix.shape[1]))

    def _both(self, found: Value | None, added: Value | None) -> Value:
        if found is None or added is None:
            one = found if added is None else added
            assert one is not None
            return one
        return Value(self.emit("aten.add.Tensor", found, added))


def _plain(known: _Known) -> Value:
    """A value that is no fields.

    Raises:
        UnfoldableError: It is.
    """
    if not isinstance(known, Value):
        raise UnfoldableError(known.key)
    return known


def _flat(args: Any) -> list[Any]:
    return [v for a in args for v in _flat(a)] if isinstance(args, list) else [args]
