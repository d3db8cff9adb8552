"""`regex_replace`: a text with every match of a regular expression replaced."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from typing_extensions import override

from feature_generator.discretizer import IdConfig
from feature_generator.features import Operator, Sided, Source
from feature_generator.text import plain
from feature_generator.text.lists import each
from feature_generator.text.regex import check, replace
from feature_generator.values import as_text


class Config(IdConfig):
    """Config of `regex_replace`."""

    type: Literal["regex_replace"] = "regex_replace"
    expression: Sided = ""
    """The column, as `side:name`; by default `item:` and the feature's own name."""
    regex_pattern: str = Field(min_length=1)
    """What is replaced, in the syntax of RE2."""
    replacement: str = ""
    r"""What stands there instead: `\1` .. `\9` are the groups, `\0` the whole match, `\\` a backslash."""

    @override
    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        wrong = check(self.regex_pattern, self.replacement)
        key = {"pattern": "regex_pattern", "replacement": "replacement"}
        return [*super().problems(encoded), *([(key[wrong[0]], wrong[1])] if wrong else [])]

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Source.of(self.expression or f"item:{self.name}")]

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        run = partial(replace, pattern=self.regex_pattern, replacement=self.replacement)
        return Operator("call", {"texts": True}, each(run))

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        made = [plain.replace(as_text(value), self.regex_pattern, self.replacement) for value in inputs[0]]
        return [text for text in made if text]
