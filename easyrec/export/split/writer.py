"""Reading a program call by call, and writing another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import torch
from torch import Tensor

from easyrec.embedding.sides import ITEM, USER
from easyrec.export.calls import Call, Program, Value, filled, result_of
from easyrec.export.operators import PYTHON
from easyrec.export.split.draft import Draft
from easyrec.export.split.values import (
    SIDED,
    Beside,
    Const,
    Either,
    Filled,
    Full,
    Known,
    Mixed,
    OffsetsOf,
    RowsOf,
    Size,
    Steps,
    TogetherError,
    UnsplittableError,
    User,
)


@dataclass(frozen=True)
class SplitProgram:
    """A program for requests.

    Attributes:
        program: Its inputs are `user/<key>` of one row, and `item/<key>` of a row per candidate.
        together: Sequences of the user that are repeated for each candidate, as `<group>/<sequence>`.
    """

    program: Program
    together: tuple[str, ...] = ()


class Pass(Draft):
    """One reading of a program.

    Args:
        program: The original.
        example: Inputs of it, of some rows: no two dimensions have one size.
        of_user: By key of an input with columns, whether each column is of the user's side.
        apart: The sequences that are not repeated.
        rules: What is known of operators.

    Attributes:
        values: What is known of each of the original's values.
        shapes: These values for the example.
        num_rows: Rows of the example.
    """

    def __init__(
        self,
        program: Program,
        example: Mapping[str, Tensor],
        of_user: Mapping[str, Sequence[bool]],
        apart: Sequence[str],
        rules: Mapping[str, Rule],
    ) -> None:
        super().__init__()
        self.program, self.example, self.apart, self.rules = program, example, list(apart), rules
        self.of_user = {key: list(columns) for key, columns in of_user.items()}
        self.values: list[Known] = []
        self.shapes: list[Any] = []
        self.num_rows = next(
            int(t.shape[0]) for key, t in example.items() if key.partition(":")[0] in ("emb", "first", "dense", "num")
        )
        self.sizes = {key.partition(":")[2]: int(t.shape[0]) for key, t in example.items() if key.startswith("seq:")}
        self.one_row: int | None = None  # an input with a row per candidate, whose rows are counted

    def run(self) -> SplitProgram | None:
        """Both passes: shapes by running the original, then the new calls."""
        if not self._give_inputs():
            return None
        names = [*self.program.inputs, *self.program.weights]
        for name in self.program.weights:
            self.values.append(Const(self.program.weights[name]))
        self.shapes = [self.example[n] if n in self.example else self.program.weights[n] for n in names]
        for call in self.program.calls:
            with torch.inference_mode():
                self.shapes.append(result_of(call, self.shapes))
            self.values.append(self._translate(call))
        outputs = {name: self.full(self.values[number], number) for name, number in self.program.outputs.items()}
        return SplitProgram(self.finished(outputs))

    def _give_inputs(self) -> bool:
        """Make the inputs; False where none is the user's, or none a candidate's."""
        for key in self.program.inputs:
            kind, _, name = key.partition(":")
            if kind in ("seq", "rows", "offsets"):
                self.values.append(self._sequence(kind, key, name))
                continue
            own = self.of_user[key]
            user = self._input(USER + key) if any(own) else None
            item = self._input(ITEM + key) if not all(own) else None
            if user is None:
                self.values.append(Full(item or 0))
            elif item is None:
                self.values.append(User(user))
            else:
                order = tuple((side, len(list(run))) for side, run in groupby(own))
                self.values.append(Mixed(user, item, order))
            if item is not None:
                self.one_row = item
        anything = any(isinstance(v, User | Mixed | RowsOf) for v in self.values)
        return anything and self.one_row is not None

    def _input(self, name: str) -> int:
        self.inputs.append(name)
        return len(self.inputs) - 1

    def _sequence(self, kind: str, key: str, name: str) -> Known:
        if name not in self.apart:
            return Full(self._input(ITEM + key))
        if kind == "seq":
            return User(self._input(USER + key), steps=name)
        return RowsOf(name) if kind == "rows" else OffsetsOf(name)

    # ------------------------------------------------------------------------------------------- translation

    def _translate(self, call: Call) -> Known:
        args = [filled(argument, self.values) for argument in call.args]
        flat = flattened(args)
        if all(not isinstance(a, SIDED) for a in flat):
            return self._constant(call)
        sizes = all(isinstance(a, Size | Const | int | float) for a in flat)
        if call.operator in PYTHON and call.operator != "getitem" and sizes:
            return self._arithmetic(call, args)
        rule = self.rules.get(call.operator)
        if rule is not None:
            found = rule(self, call, args)
            if found is not None:
                return found
        if all(isinstance(a, Size | Either | Filled) or not isinstance(a, SIDED) for a in flat):
            return self._either(call, args)
        if all(not isinstance(a, Full | Mixed | Steps | Beside) for a in flat):
            return self._of_user(call, args)
        return self._as_it_was(call, args)

    def _constant(self, call: Call) -> Known:
        """What depends on weights alone is a weight."""
        found = self.shapes[len(self.values)]
        if isinstance(found, Tensor):
            return Const(found.clone())
        return (
            tuple(Const(f.clone() if isinstance(f, Tensor) else f) for f in found)
            if isinstance(found, list | tuple)
            else Const(found)
        )

    def _arithmetic(self, call: Call, args: Any) -> Known:
        def of(side: str) -> Any:
            given = [getattr(a, side) if isinstance(a, Size) else a.value if isinstance(a, Const) else a for a in args]
            if all(not isinstance(g, Value) for g in given):
                return PYTHON[call.operator](*given)
            return Value(self.emit(call.operator, *given))

        return Size(of("user"), of("full"))

    def _either(self, call: Call, args: Any) -> Known:
        """A call over numbers of rows: twice, and what nobody needs is left out."""
        user, full = (
            self.emit(call.operator, *(self.plain(a, user=side) for a in args), **call.kwargs) for side in (True, False)
        )
        found = self.shapes[len(self.values)]
        if not isinstance(found, list | tuple):
            return Either(user, full)
        made = [[self.emit("getitem", Value(n), i) for n in (user, full)] for i in range(len(found))]
        return tuple(Either(*pair) for pair in made)

    def _of_user(self, call: Call, args: Any) -> Known:
        """A call over the user's side alone."""
        number = self.emit(call.operator, *(self.plain(a, user=True) for a in args), **call.kwargs)
        found = self.shapes[len(self.values)]
        if isinstance(found, list | tuple):
            return tuple(
                self._counts(part)(self.emit("getitem", Value(number), place)) for place, part in enumerate(found)
            )
        return self._counts(found)(number)

    def _counts(self, found: Any) -> Callable[[int], User]:
        """What the first dimension of a value counts: the example has a size of its own for each number of rows and steps."""
        first = found.shape[0] if isinstance(found, Tensor) and found.dim() else None
        steps = next((key for key, size in self.sizes.items() if size == first), None)
        return lambda number: User(number, steps, steps is None and first == self.num_rows)

    def plain(self, value: Known, *, user: bool) -> Any:
        """An argument of a call over the user's side, or of one with a row per candidate."""
        match value:
            case list() | tuple():
                return [self.plain(v, user=user) for v in value]
            case Const(inner):
                return inner
            case Size():
                return value.user if user else value.full
            case Filled(number, sizes, options):
                chosen = [self.plain(s, user=user) for s in sizes]
                return Value(self.emit("aten.full.default", chosen, number, **options))
            case User(number) | Either(user=number) if user:
                return Value(number)
            case RowsOf(key, shaped) if user:
                number = self._own_rows(key, rows=True)
                for operator, more in shaped:
                    number = self.emit(operator, Value(number), more)
                return Value(number)
            case OffsetsOf(key) if user:
                return Value(self._own_rows(key, rows=False))
            case RowsOf(key) | OffsetsOf(key):
                raise TogetherError(key)
            case _:
                return Value(self.full(value, None)) if isinstance(value, SIDED) else value

    def _own_rows(self, key: str, *, rows: bool) -> int:
        """Rows and offsets of the steps of one user."""
        return self._input_once(USER + ("rows:" if rows else "offsets:") + key)

    def _input_once(self, name: str) -> int:
        return self.inputs.index(name) if name in self.inputs else self._input(name)

    def _as_it_was(self, call: Call, args: Any) -> Known:
        """A call with a row per candidate, over operands put together."""
        for a in flattened(args):
            if isinstance(a, Steps):
                raise TogetherError(a.key)
            if isinstance(a, Beside):
                raise TogetherError(a.parts[0][0].key)
            if isinstance(a, User) and (a.steps is not None or not a.rows):
                raise TogetherError(a.steps or self._any_apart(call.operator))
        given = [self.plain(a, user=False) for a in args]
        if call.operator == "aten.view.default" and isinstance(
            args[0], User
        ):  # an expanded value cannot be cut otherwise
            given[0] = Value(self.emit("aten.clone.default", given[0], memory_format=torch.contiguous_format))
        number = self.emit(call.operator, *given, **call.kwargs)
        found = self.shapes[len(self.values)]
        if isinstance(found, list | tuple):
            return tuple(Full(self.emit("getitem", Value(number), place)) for place in range(len(found)))
        return Full(number)

    def _any_apart(self, operator: str) -> str:
        if not self.apart:
            raise UnsplittableError(operator)
        return self.apart[-1]

    def full(self, value: Known, place: int | None) -> int:
        """A value with a row per candidate, as the original has it."""
        match value:
            case Full(number) | Either(full=number):
                return number
            case User(number, None, True):
                rank = self._rank_of(value, place)
                sizes = [Value(self.rows()), *([-1] * (rank - 1))]
                return self.emit("aten.expand.default", Value(number), sizes)
            case Mixed():
                return self._joined(value)
            case User(_, steps, _):
                raise TogetherError(steps or self._any_apart("expand"))
            case Steps(key=key):
                raise TogetherError(key)
            case Beside(parts):
                raise TogetherError(parts[0][0].key)
            case RowsOf(key) | OffsetsOf(key):
                raise TogetherError(key)
            case Const(Tensor() as tensor):
                return self.weight(tensor).number
        raise UnsplittableError(str(value)[:60])

    def _rank_of(self, value: Known, place: int | None) -> int:
        where = place if place is not None else next(i for i, v in enumerate(self.values) if v is value)
        return int(self.shapes[where].dim())

    def rows(self) -> int:
        """The number of candidates, as a value of the new program."""
        assert self.one_row is not None
        return self.emit("aten.sym_size.int", Value(self.one_row), 0)

    def _joined(self, value: Mixed) -> int:
        """Columns of both sides as the original has them."""
        place = next(i for i, v in enumerate(self.values) if v is value)
        rank = int(self.shapes[place].dim())
        sizes = [Value(self.rows()), *([-1] * (rank - 1))]
        user = self.emit("aten.expand.default", Value(value.user), sizes)
        parts, at = [], {True: 0, False: 0}
        for side, width in value.order:
            whole = user if side else value.full
            parts.append(Value(self.emit("aten.slice.Tensor", Value(whole), 1, at[side], at[side] + width)))
            at[side] += width
        return self.emit("aten.cat.default", parts, 1)

    def steps(self, value: Known) -> Steps | None:
        """A value of steps as one per candidate and step; None: it is none."""
        if isinstance(value, User) and value.steps is not None:
            return Steps(self.emit("aten.unsqueeze.default", Value(value.number), 0), value.steps, False, True)
        return value if isinstance(value, Steps) else None


def flattened(args: Any) -> list[Known]:
    """The arguments, those inside lists too."""
    return [v for a in args for v in flattened(a)] if isinstance(args, list | tuple) else [args]


Rule: TypeAlias = Callable[[Pass, Call, Any], Known]
"""Gives the value of a call from what is known of its arguments, or None where it knows no better than others."""
