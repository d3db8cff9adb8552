"""`kv_dot_product`: the dot product of two sparse vectors that are given as keys with weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from feature_generator.features import Byte, Operator, Reading, Sided, Source
from feature_generator.numeric import NumericConfig
from feature_generator.values import as_number, as_text


class Config(NumericConfig):
    """Config of `kv_dot_product`."""

    single_input: ClassVar[bool] = False

    type: Literal["kv_dot_product"] = "kv_dot_product"
    query: Sided | None = None
    """The first vector, as `side:name`: text `key:weight` with the separator between, a list of such texts, or a map."""
    document: Sided | None = None
    """The second vector, as `side:name`."""
    kv_delimiter: Byte = ":"
    """Between a key and its weight; a bare key weighs 1."""
    value_dim: int | None = Field(None, ge=0, le=1)
    """There is one number whatever it says."""

    @override
    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        problems = super().problems(encoded)
        for key in ("query", "document"):
            if getattr(self, key) is None and not encoded:
                problems.append((key, "needs a column, as side:name"))
        return problems

    @property
    @override
    def sources(self) -> Sequence[Source]:
        given = [Source.of(text) for text in (self.query, self.document) if text is not None]
        return given or [Source("item", self.name)]

    @property
    @override
    def readings(self) -> Sequence[Reading]:
        pairs = Reading(pairs=Reading(separator=None), assign=self.kv_delimiter, assign_last=True)
        return [pairs] * len(self.sources)

    @override
    def default_numbers(self, text: str, encoded: bool = False) -> list[float]:
        return super().default_numbers(text or ("" if encoded else "0"), encoded)

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        return Operator("kv_dot_product", numbers=self.numbers())

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        query, document = ([(as_text(key), rest) for key, rest in pairs] for pairs in inputs)
        if not query or not document:
            return []
        sums: dict[str, float] = {}
        for key, rest in document:
            sums[key] = sums.get(key, 0.0) + _weight(rest)
        total = 0.0
        for key, rest in query:
            weight = _weight(rest)
            if key in sums:
                total += weight * sums[key]
        return [total]


def _weight(rest: list[Any]) -> float:
    return as_number(rest[0]) if rest else 1.0
