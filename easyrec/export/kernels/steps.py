"""A stored program becomes steps of the compiled kernels, where no row of it knows another one.

Every value has a row for each candidate, or one for all of them; a shape is told without rows. What only looks at a value
otherwise (a view, one more dimension of 1) makes no step. Of two steps that kernels do at once one is made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from easyrec.embedding.sides import USER
from easyrec.errors import RunError
from easyrec.export.calls import REPEAT, Call, Program, Value, result_of
from easyrec.export.kernels.rules import RULES, NumRows, Row, Unknown
from easyrec.export.kernels.session import CONSTANTS, FORMAT, STEPS
from easyrec.export.strict_json import dump

LEAST_ROUNDED = 32, 16
"""Rows and columns of a matrix below which int8 saves nothing."""
Step: TypeAlias = dict[str, Any]


def write(program: Program, inputs: Mapping[str, Tensor], folder: Path, *, rounded: bool) -> None:
    """Write the steps of a program.

    Args:
        program: What it computes.
        inputs: Example inputs: they tell types and sizes.
        folder: An existing folder.
        rounded: Multiply in int8 where that saves something.

    Raises:
        RunError: A call is not one that the kernels can do row by row; names it.
    """
    writer = Writer(program, inputs)
    description, constants = writer.finished(rounded=rounded)
    (folder / STEPS).write_bytes(dump(description))
    np.save(folder / CONSTANTS, constants, allow_pickle=False)


class Writer:
    """One reading of a program, and the steps that it makes.

    Args:
        program: What is read.
        inputs: Example inputs.

    Raises:
        RunError: As `write` says.
    """

    def __init__(self, program: Program, inputs: Mapping[str, Tensor]) -> None:
        self.program = program
        self.values: list[Row] = []
        self.constants: list[np.ndarray] = []
        self.steps: list[Step] = []
        for name in program.inputs:
            tensor = inputs[name]
            if tensor.dtype != torch.float32 or tensor.dim() != 2:
                raise RunError(f"the kernels take no input like '{name}', only rows of numbers")
            self.value(tuple(tensor.shape[1:]), once=name.startswith(USER))
        each = [name for name in program.inputs if not name.startswith(USER)]
        if not each:
            raise RunError("no input has a row for each candidate")
        self.rows = len(inputs[each[0]])
        known: list[Any] = [*self.values, *program.weights.values()]
        examples: list[Any] = [*(inputs[name] for name in program.inputs), *program.weights.values()]
        for call in program.calls:
            known.append(self._known(call, known, examples))
        self.outputs = {name: known[number] for name, number in program.outputs.items()}
        for name, found in self.outputs.items():
            if not isinstance(found, Row):
                raise RunError(f"the kernels cannot give '{name}', which follows from no row")
            if found.width != self.values[found.number].width:  # a part of a value
                self.outputs[name] = self.add("unary", found.shape, found, name="same")

    def _known(self, call: Call, known: Sequence[Any], examples: list[Any]) -> Any:
        rule = RULES.get(call.operator)
        try:
            if call.operator == REPEAT:
                raise Unknown("no step does it")
            with torch.inference_mode():
                found = result_of(call, examples)
            examples.append(found)
            args = [_filled(argument, known) for argument in call.args]
            if all(not isinstance(a, Row) for a in _flat(args)):
                if any(isinstance(a, NumRows) for a in _flat(args)):
                    raise Unknown("of as many rows as there are")
                return found
            if rule is None:
                raise Unknown("no step does it")
            return rule(self, found, *args, **call.kwargs)
        except (Unknown, TypeError) as error:
            raise RunError(f"the kernels have nothing for the call '{call.operator}': {error}") from error

    # --------------------------------------------------------------------------------------------- what rules use

    def value(self, shape: tuple[int, ...], *, once: bool) -> Row:
        """A new value."""
        row = Row(len(self.values), once, shape)
        self.values.append(row)
        return row

    def constant(self, numbers: Any) -> Row:
        """A value that is there from the start."""
        array = np.ascontiguousarray(torch.as_tensor(numbers, dtype=torch.float32).detach().numpy()).reshape(-1)
        self.constants.append(array)
        return Row(-len(self.constants), True, (len(array),))

    def add(self, kind: str, shape: tuple[int, ...], x: Row, *more: Row, **parts: Any) -> Row:
        """A step, and the value that it makes of others."""
        out = self.value(shape, once=all(row.once for row in (x, *more)))
        self.steps.append({"kind": kind, "out": out.number, "x": x.number, "x_at": x.at, **parts})
        return out

    def tail(self, found: Any) -> tuple[int, ...]:
        """The shape of a row of a result.

        Raises:
            Unknown: Its first dimension does not count rows.
        """
        if not isinstance(found, Tensor) or not found.dim() or found.shape[0] not in (1, self.rows):
            raise Unknown("its first dimension does not count rows")
        if found.dtype != torch.float32:
            raise Unknown(f"it gives {found.dtype}")
        return tuple(int(n) for n in found.shape[1:])

    # ------------------------------------------------------------------------------------------------- the result

    def finished(self, *, rounded: bool) -> tuple[dict[str, Any], np.ndarray]:
        """The description of the steps, and the constants."""
        steps = _joined(self.steps, self.values, [row.number for row in self.outputs.values()])
        first, count = len(self.program.inputs), len(self.constants)

        def renumbered(number: int) -> int:
            if number < 0:
                return first - number - 1
            return number if number < first else number + count

        for step in steps:
            for part in ("out", "x", "y", "matrix", "added"):
                if part in step:
                    step[part] = renumbered(step[part])
            if rounded and step["kind"] == "product":
                k, n, _ = step["sizes"]
                step["rounded"] = k >= LEAST_ROUNDED[0] and n >= LEAST_ROUNDED[1]
        if rounded and not any(step.get("rounded") for step in steps):
            raise RunError("there is no matrix large enough to be rounded to int8")
        constants = [Row(0, True, (len(array),)) for array in self.constants]
        values = [*self.values[:first], *constants, *self.values[first:]]
        description = {
            "format": FORMAT,
            "inputs": list(self.program.inputs),
            "values": [[row.once, row.width] for row in values],
            "constants": [len(array) for array in self.constants],
            "steps": steps,
            "outputs": {
                name: {"value": renumbered(row.number), "shape": list(row.shape)} for name, row in self.outputs.items()
            },
        }
        numbers = np.concatenate(self.constants) if self.constants else np.empty(0, np.float32)
        return description, numbers


def _joined(steps: Sequence[Step], values: Sequence[Row], outputs: Sequence[int]) -> list[Step]:
    """The steps with what follows one in it: a value that is added to a product, a ReLU."""
    read = [number for step in steps for part in ("x", "y", "added") if (number := step.get(part)) is not None]
    read += outputs
    once_read = {number for number in read if read.count(number) == 1}
    made: dict[int, Step] = {}
    kept: list[Step] = []
    for step in steps:
        product, added = _taken_in(step, values, made, once_read)
        if product is None:
            kept.append(step)
        else:  # it is done where all that it reads is there
            kept = [one for one in kept if one is not product]
            kept.append({**product, "out": step["out"], **({"relu": True} if added is None else added)})
        made[step["out"]] = kept[-1]
    return kept


def _taken_in(
    step: Step, values: Sequence[Row], made: Mapping[int, Step], once_read: set[int]
) -> tuple[Step | None, Step | None]:
    """The step that another can be part of, and what that adds to it; None: a ReLU."""
    out = values[step["out"]]

    def whole(side: str, kinds: Collection[str]) -> Step | None:
        """The step that made all of a value, where nobody else reads it."""
        found = made.get(step[side]) if step[side] in once_read and not step[f"{side}_at"] else None
        fits = found is not None and found["kind"] in kinds and not found.get("relu")
        return found if fits and values[step[side]].width == out.width else None

    if step.get("name") == "relu":
        return whole("x", ("product", "binary")), None
    if step["kind"] != "binary" or step["name"] != "add" or step["sizes"][:2] != [1, 1]:
        return None, None
    if step["x_steps"][2] != 1 or step["y_steps"][2] != 1:
        return None, None
    for side, other in (("x", "y"), ("y", "x")):
        product = whole(side, ("product",))
        if product is None or "added" in product or product["sizes"][2] != 1:
            continue
        if values[product["out"]].once == out.once:
            return product, {"added": step[other], "added_at": step[f"{other}_at"]}
    return None, None


def _filled(argument: Any, values: Sequence[Any]) -> Any:
    if isinstance(argument, Value):
        return values[argument.number]
    return [_filled(a, values) for a in argument] if isinstance(argument, list | tuple) else argument


def _flat(args: Any) -> list[Any]:
    return [v for a in args for v in _flat(a)] if isinstance(args, list | tuple) else [args]
