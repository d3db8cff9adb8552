"""`regex_replace`: a text with every match of a regular expression replaced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field, field_validator
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
    regex_pattern: list[Annotated[str, Field(min_length=1)]] = []
    """What is replaced, in the syntax of RE2; several patterns are replaced one after another."""
    replacement: str = ""
    r"""What stands there instead: `\1` .. `\9` are the groups, `\0` the whole match, `\\` a backslash."""
    replace_all: bool = True
    """Every match is replaced; false: of each pattern the first in a value."""
    icase: bool = False
    """Upper and lower case match each other."""

    @field_validator("regex_pattern", mode="before", json_schema_input_type=str | list[str])
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @override
    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        key = {"pattern": "regex_pattern", "replacement": "replacement"}
        wrong = [check(pattern, self.replacement) for pattern in self.regex_pattern]
        problems = super().problems(encoded)
        if not self.regex_pattern and not encoded:
            problems.append(("regex_pattern", "this key is required: a pattern, or a list of patterns"))
        return problems + [(key[found[0]], found[1]) for found in wrong if found]

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Source.of(self.expression or f"item:{self.name}")]

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        return Operator("call", {"texts": True}, each(self._replaced))

    def _replaced(self, texts: pa.LargeStringArray) -> pa.LargeStringArray:
        for pattern in self._patterns:
            texts = replace(texts, pattern, self.replacement, self.replace_all)
        return texts

    @property
    def _patterns(self) -> list[str]:
        return [f"(?i){pattern}" if self.icase else pattern for pattern in self.regex_pattern]

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        texts = [as_text(value) for value in inputs[0]]
        for pattern in self._patterns:
            texts = [plain.replace(text, pattern, self.replacement, self.replace_all) for text in texts]
        return [text for text in texts if text]
