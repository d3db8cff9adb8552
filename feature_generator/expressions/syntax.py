"""Tokens into steps in postfix order, by operator precedence, without recursion: depth costs no stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from feature_generator.errors import nearest
from feature_generator.expressions.functions import CONSTANTS, FUNCTIONS, REDUCE, VARIADIC
from feature_generator.expressions.tokens import ExpressionError, Token, tokens

BINARY: dict[str, tuple[str, int]] = {
    "||": ("or", 2),
    "&&": ("and", 3),
    "|": ("bit_or", 4),
    "&": ("bit_and", 5),
    "<": ("less", 6),
    "<=": ("less_equal", 6),
    ">": ("greater", 6),
    ">=": ("greater_equal", 6),
    "==": ("equal", 6),
    "!=": ("unequal", 6),
    "+": ("add", 7),
    "-": ("subtract", 7),
    "*": ("multiply", 8),
    "/": ("divide", 8),
    "^": ("power", 10),
}
"""Operator -> operation and precedence; equal ones group from the left, `^` from the right."""
UNARY = {"-": "negate", "+": "", "!": "not"}
_UNARY_PRECEDENCE = 9
_FOREIGN = {
    "=": "write == to compare",
    "%": "write mod(a, b)",
    "**": "write ^",
}
_WORDS = {"and": "write &&", "or": "write ||", "not": "write !", "if": "write condition ? a : b"}


@dataclass(frozen=True)
class Number:
    """Puts a constant on the stack."""

    value: float


@dataclass(frozen=True)
class Variable:
    """Puts the value of a variable on the stack."""

    index: int


@dataclass(frozen=True)
class Apply:
    """Replaces the topmost `operands` values by the result of an operation.

    `select` is `?:`. Functions of any number of arguments have become pairs.
    """

    operation: str
    operands: int


Step: TypeAlias = "Number | Variable | Apply"


@dataclass
class _Open:
    """Something that waits for its right side.

    `(`, `?` and `:` stand for themselves, `call` is a function, `sign` an operator.
    """

    kind: Literal["(", "?", ":", "call", "sign"]
    text: str
    position: int
    operation: str = ""
    precedence: int = 0
    operands: int = 1


def parse(text: str, names: Sequence[str]) -> list[Step]:
    """The steps that compute `text` over the variables `names`.

    Raises:
        ExpressionError: The text is no expression over these variables.
    """
    return _Parser(text, names).run()


class _Parser:
    def __init__(self, text: str, names: Sequence[str]) -> None:
        self._text = text
        self._names = {name: index for index, name in enumerate(names)}
        self._tokens = list(tokens(text))
        self._at = 0
        self._open: list[_Open] = []
        self._steps: list[Step] = []
        self._single: list[bool] = []  # of the values on the stack: whether it is a single number whatever the data
        self._begin: list[int] = []  # of the values on the stack: where their text begins

    def run(self) -> list[Step]:
        if self._tokens[0].kind == "end":
            raise ExpressionError("is empty", self._text, 0)
        operand = True  # is due, else an operator
        while True:
            token = self._tokens[self._at]
            self._at += 1
            if operand:
                operand = self._operand(token)
            elif token.kind == "end":
                break
            else:
                operand = self._operator(token)
        self._close("end of the text", len(self._text), ())
        return self._steps

    def _fail(self, reason: str, position: int) -> ExpressionError:
        return ExpressionError(reason, self._text, position)

    # ---------------------------------------------------------------- where an operand is due

    def _operand(self, token: Token) -> bool:
        """Takes what an operand begins with; whether one is still due."""
        if token.kind == "number":
            value = float(token.text)
            if value == float("inf"):
                raise self._fail(f"{token.text} is too large for a number", token.position)
            self._put(Number(value), True, token.position)
            return False
        if token.kind in {"name", "quoted"}:
            return self._name(token)
        if token.text == "(":
            self._open.append(_Open("(", "(", token.position))
            return True
        if token.text in UNARY:
            self._open.append(_Open("sign", token.text, token.position, UNARY[token.text], _UNARY_PRECEDENCE))
            return True
        found = f"'{token.text}'" if token.text else "the end of the text"
        hint = f"; {_FOREIGN[token.text]}" if token.text in _FOREIGN else ""
        raise self._fail(f"a number, a variable or a function is missing before {found}{hint}", token.position)

    def _name(self, token: Token) -> bool:
        name, position = token.text, token.position
        called = token.kind == "name" and self._tokens[self._at].text == "("
        if called:
            self._at += 1
            self._open.append(_Open("call", name, position, self._operation(name, position)))
            if self._tokens[self._at].text == ")":
                raise self._fail(f"{name} takes {_arguments(name)}, not none", position)
            return True
        if name in CONSTANTS and token.kind == "name":
            self._put(Number(CONSTANTS[name]), True, position)
        elif name in self._names:
            self._put(Variable(self._names[name]), False, position)
        else:
            raise self._fail(self._unknown(name), position)
        return False

    def _unknown(self, name: str) -> str:
        if name in FUNCTIONS or name in VARIADIC:
            return f"'{name}' is a function of {_arguments(name)}: its arguments stand in ( )"
        if name in _WORDS:
            return f"'{name}' is no variable; {_WORDS[name]}"
        known = ", ".join(self._names) or "none"
        return f"unknown variable '{name}'{nearest(name, [*self._names, *CONSTANTS])}\nvariables: {known}"

    def _operation(self, name: str, position: int) -> str:
        if name in VARIADIC:
            return VARIADIC[name][0]
        if name in FUNCTIONS:
            return FUNCTIONS[name][0]
        if name == "rnd":
            reason = "rnd is not available: a feature must have the same value in training and in serving"
        elif name in self._names:
            reason = f"'{name}' is a variable, not a function"
        elif name in _WORDS:
            reason = f"'{name}' is no function; {_WORDS[name]}"
        else:
            known = [*FUNCTIONS, *VARIADIC]
            reason = f"unknown function '{name}'{nearest(name.lower(), known) or _listed(known)}"
        raise self._fail(reason, position)

    # ---------------------------------------------------------------- where an operator is due

    def _operator(self, token: Token) -> bool:
        """Takes what stands behind an operand; whether the next operand is due."""
        sign, position = token.text, token.position
        if token.kind == "sign" and sign in BINARY:
            operation, precedence = BINARY[sign]
            self._reduce(precedence + (sign == "^"))
            self._open.append(_Open("sign", sign, position, operation, precedence, 2))
            return True
        if token.kind == "sign" and sign == "?":
            self._reduce(0)
            self._open.append(_Open("?", "?", position, precedence=1))
            return True
        if token.kind == "sign" and sign == ":":
            self._close("':'", position, ("?",))
            self._open[-1] = _Open(":", ":", position, "select", 1, 3)
            return True
        if token.kind == "sign" and sign == ",":
            self._close("','", position, ("call",))
            self._pair(self._open[-1])
            self._open[-1].operands += 1
            return True
        if token.kind == "sign" and sign == ")":
            self._close("')'", position, ("call", "("))
            opened = self._open.pop()
            if opened.kind == "call":
                self._call(opened)
            else:
                self._begin[-1] = opened.position
            return False
        hint = (_FOREIGN | _WORDS).get(sign, "")
        raise self._fail(f"an operator is missing before '{sign}'{hint and '; ' + hint}", position)

    def _reduce(self, precedence: int) -> None:
        """Applies the waiting operators that bind at least as tightly."""
        while self._open and self._open[-1].kind == "sign" and self._open[-1].precedence >= precedence:
            self._apply(self._open.pop())

    def _close(self, by: str, position: int, wanted: tuple[str, ...]) -> None:
        """Applies all that waits above the nearest of `wanted`, which stays on top; none wanted: above everything."""
        while self._open:
            top = self._open[-1]
            if top.kind in wanted:
                return
            if top.kind in {"sign", ":"}:
                self._apply(self._open.pop())
            elif top.kind == "?":
                raise self._fail("'?' has no ':'", top.position)
            elif by == "','" and top.kind == "(":
                raise self._fail("',' stands between the arguments of a function only", position)
            elif by == "':'":
                raise self._fail("':' has no '?'", position)
            else:
                raise self._fail("'(' is never closed", top.position + (len(top.text) if top.kind == "call" else 0))
        if wanted:
            reason = {"')'": "')' closes nothing", "':'": "':' has no '?'"}
            raise self._fail(reason.get(by, "',' stands between the arguments of a function only"), position)

    # ---------------------------------------------------------------- steps

    def _put(self, step: Step, single: bool, begin: int) -> None:
        self._steps.append(step)
        self._single.append(single)
        self._begin.append(begin)

    def _apply(self, opened: _Open) -> None:
        if opened.operation:
            begin = opened.position if opened.operands == 1 else self._begin[-opened.operands]
            self._emit(opened.operation, opened.operands, begin)

    def _emit(self, operation: str, operands: int, begin: int) -> None:
        single = operation in REDUCE or all(self._single[-operands:])
        del self._single[-operands:], self._begin[-operands:]
        self._put(Apply(operation, operands), single, begin)

    def _pair(self, opened: _Open) -> None:
        """Joins the argument that just ended to those before it: min(a, b, c) is min(min(a, b), c)."""
        if opened.text in VARIADIC and opened.operands > 1:
            self._emit(opened.operation, 2, opened.position)

    def _call(self, opened: _Open) -> None:
        name, given = opened.text, opened.operands
        if name in VARIADIC:
            if given < 2:
                raise self._fail(
                    f"{name} takes two or more arguments; for the values of one vector write {VARIADIC[name][1]}",
                    opened.position,
                )
            self._pair(opened)
            if name == "avg":
                self._put(Number(float(given)), True, opened.position)
                self._emit("divide", 2, opened.position)
            return
        if given != FUNCTIONS[name][1]:
            raise self._fail(f"{name} takes {_arguments(name)}, not {given}", opened.position)
        if opened.operation in REDUCE and given == 2:
            for single, begin in zip(self._single[-2:], self._begin[-2:], strict=True):
                if single:
                    raise self._fail(f"{name} takes two vectors, but this is always a single number", begin)
        self._emit(opened.operation, given, opened.position)


def _arguments(name: str) -> str:
    if name in VARIADIC:
        return "two or more arguments"
    count = FUNCTIONS[name][1]
    return f"{count} argument{'s' if count > 1 else ''}"


def _listed(names: Sequence[str]) -> str:
    return f"; known: {', '.join(sorted(names))}"
