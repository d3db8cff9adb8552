"""`text_normalizer`: a text in one case, width and script, without what does not count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import PrivateAttr
from typing_extensions import override

from feature_generator.discretizer import IdConfig
from feature_generator.features import Operator, Sided, Source
from feature_generator.text import plain
from feature_generator.text.lists import each
from feature_generator.text.normalizer import Normalizer, NormalizerConfig, read_stop_chars
from feature_generator.values import as_text


class Config(IdConfig, NormalizerConfig):
    """Config of `text_normalizer`."""

    type: Literal["text_normalizer"] = "text_normalizer"
    expression: Sided = ""
    """The column, as `side:name`; by default `item:` and the feature's own name."""
    _stops: str = PrivateAttr("")

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Source.of(self.expression or f"item:{self.name}")]

    @property
    @override
    def files(self) -> dict[str, str]:
        return super().files | ({"stop_char_file": self.stop_char_file} if self.stop_char_file is not None else {})

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        self._stops = read_stop_chars(self, folder)
        return Operator("call", {"texts": True}, each(Normalizer(self, self._stops)))

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        made = [plain.normalize(as_text(value), self, self._stops) for value in inputs[0]]
        return [text for text in made if text]
