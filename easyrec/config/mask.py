"""Which rows count for a task: comparisons of labels, e.g. `click == 1 and (dwell >= 3.5 or buy == 1)`.

expression := term {"or" term}
term       := factor {"and" factor}
factor     := "not" factor | "(" expression ")" | label ("==" | "!=" | "<" | "<=" | ">" | ">=") number
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<sign>==|!=|<=|>=|<|>|\(|\)))"
)
_WORDS = ("and", "or", "not")
_DEEPEST = 50
_EXAMPLE = "e.g. click == 1 and dwell >= 3.5"
_INSTEAD = {
    "&": "write 'and'",
    "|": "write 'or'",
    "!": "write 'not' before a comparison, '!=' inside one",
    "=": "write '=='",
    "'": "write labels and numbers without quotes",
    '"': "write labels and numbers without quotes",
}
"""What to write in place of a sign that means nothing."""

Rows: TypeAlias = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Mask:
    """A parsed mask; two masks are equal where their texts are.

    Attributes:
        text: As it was written.
        labels: Labels that it reads, in the order of their first appearance.
    """

    text: str
    labels: tuple[str, ...] = field(compare=False)
    _rows: Rows = field(compare=False, repr=False)

    @staticmethod
    def parse(text: str) -> Mask:
        """The mask that `text` states.

        Raises:
            ValueError: The text is no mask; says at which character and what was expected there.
        """
        parser = _Parser(text)
        rows = parser.expression(0)
        if parser.kind:
            raise parser.expected("'and', 'or' or the end")
        return Mask(text, tuple(parser.labels), rows)

    def rows(self, labels: Mapping[str, Any]) -> Any:
        """(B,) bool, in the kind of the labels: numpy arrays or torch tensors of shape (B,)."""
        return self._rows(labels)

    def __reduce__(self) -> tuple[Any, ...]:
        return Mask.parse, (self.text,)


class _Parser:
    """One pass over the text; `kind` and `token` are what comes next, both empty at the end."""

    def __init__(self, text: str) -> None:
        self.text, self.start, self.end = text, 0, 0
        self.kind, self.token = "", ""
        self.labels: dict[str, None] = {}
        self.advance()

    def advance(self) -> None:
        rest = self.text[self.end :]
        self.start = self.end + len(rest) - len(rest.lstrip())
        self.kind, self.token = "", ""
        if not rest.strip():
            return
        match = _TOKEN.match(self.text, self.end)
        if match is None:
            sign = self.text[self.start]
            remedy = _INSTEAD.get(sign, f"a mask compares labels with numbers, {_EXAMPLE}")
            text = f"'{sign}' at character {self.start + 1} means nothing in '{self.text}'"
            raise ValueError(f"{text}\n{remedy}")
        self.kind, self.end = str(match.lastgroup), match.end()
        self.token = match[self.kind]

    def expected(self, what: str) -> ValueError:
        found = f"'{self.token}'" if self.kind else "the end"
        text = f"expected {what} at character {self.start + 1}, but found {found} in '{self.text}'"
        lower = self.token.lower()
        remedy = f"write '{lower}'" if lower != self.token and lower in _WORDS else _EXAMPLE
        return ValueError(f"{text}\n{remedy}")

    def take(self, token: str) -> bool:
        if self.token != token:
            return False
        self.advance()
        return True

    def expression(self, depth: int) -> Rows:
        rows = self.term(depth)
        while self.take("or"):
            rows = _join(operator.or_, rows, self.term(depth))
        return rows

    def term(self, depth: int) -> Rows:
        rows = self.factor(depth)
        while self.take("and"):
            rows = _join(operator.and_, rows, self.factor(depth))
        return rows

    def factor(self, depth: int) -> Rows:
        if depth > _DEEPEST:
            raise ValueError(f"is nested more than {_DEEPEST} levels deep\ntake parentheses away that change nothing")
        if self.take("not"):
            inner = self.factor(depth + 1)
            return lambda labels: ~inner(labels)
        if self.take("("):
            inner = self.expression(depth + 1)
            if not self.take(")"):
                raise self.expected("')'")
            return inner
        return self.comparison()

    def comparison(self) -> Rows:
        if self.kind != "name" or self.token in _WORDS:
            raise self.expected("a label")
        label = self.token
        self.labels[label] = None
        self.advance()
        compare = OPERATORS.get(self.token)
        if compare is None and label.lower() in _WORDS:
            raise ValueError(f"'{label}' is followed by no comparison in '{self.text}'\nwrite '{label.lower()}'")
        if compare is None:
            raise self.expected(f"one of {' '.join(OPERATORS)}")
        self.advance()
        if self.kind != "number":
            raise self.expected("a number")
        number = float(self.token)
        self.advance()
        return lambda labels: compare(labels[label], number)


def _join(combine: Callable[[Any, Any], Any], left: Rows, right: Rows) -> Rows:
    return lambda labels: combine(left(labels), right(labels))
