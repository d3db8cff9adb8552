"""A parsed expression as a program over numbered values, each distinct subexpression once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from feature_generator.expressions.syntax import Number, Step, Variable, parse


@dataclass(frozen=True)
class Program:
    """An expression over named variables.

    Values are numbered: first the variables, then the constants, then the result of each instruction.

    Attributes:
        text: The expression.
        names: Its variables, in the order of the inputs.
        steps: The expression in postfix order, as it was written: what the reference runs.
        constants: Distinct numbers.
        code: Operation and operands of each instruction, operands first; no two are equal.
        result: The value that the expression has.
    """

    text: str
    names: tuple[str, ...]
    steps: tuple[Step, ...]
    constants: tuple[float, ...]
    code: tuple[tuple[str, tuple[int, ...]], ...]
    result: int

    @property
    def used(self) -> tuple[str, ...]:
        """The variables that the expression reads."""
        read = {step.index for step in self.steps if isinstance(step, Variable)}
        return tuple(name for index, name in enumerate(self.names) if index in read)

    def native(self, fill_missing: float | None = None) -> dict[str, Any]:
        """What the compiled evaluator takes, as plain values: `code` has a line per instruction."""
        program: dict[str, Any] = {
            "inputs": len(self.names),
            "constants": list(self.constants),
            "code": "\n".join(" ".join([operation, *map(str, operands)]) for operation, operands in self.code),
            "result": self.result,
        }
        return program if fill_missing is None else program | {"fill_missing": float(fill_missing)}


def compile_expression(text: str, names: Sequence[str]) -> Program:
    """The program of `text` over the variables `names`.

    Raises:
        ExpressionError: The text is no expression over these variables.
        ValueError: Two variables have the same name.
    """
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ValueError(f"two variables are called '{twice[0]}'; an expression tells variables by their name alone")
    steps = parse(text, names)
    written = dict.fromkeys(step.value for step in steps if isinstance(step, Number))
    numbers = {value: index for index, value in enumerate(written, len(names))}
    code: dict[tuple[str, tuple[int, ...]], int] = {}
    first = len(names) + len(numbers)

    stack: list[int] = []
    for step in steps:
        if isinstance(step, Number):
            stack.append(numbers[step.value])
        elif isinstance(step, Variable):
            stack.append(step.index)
        else:
            key = (step.operation, tuple(stack[-step.operands :]))
            del stack[-step.operands :]
            stack.append(code.setdefault(key, first + len(code)))
    return Program(text, tuple(names), tuple(steps), tuple(numbers), tuple(code), stack[-1])


def normalizer_expression(text: str) -> str | None:
    """The expression in x of the normalizer `method=expression,expr=..`, which may hold commas and equal signs.

    None where the method is another one.

    Raises:
        ValueError: The method is `expression`, but `expr=` does not follow.
    """
    head, sign, expression = text.partition(",")
    key, equal, method = (part.strip() for part in head.partition("="))
    if (key, equal, method) != ("method", "=", "expression"):
        return None
    key, equal, expression = expression.strip().partition("=")
    if not sign or key.strip() != "expr" or not equal:
        raise ValueError("expression needs its formula behind it: method=expression,expr=<formula in x>")
    return expression.strip()
