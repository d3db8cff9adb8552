"""`lookup`: what a map holds for one or more keys, combined into a number, or kept as words that become ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from feature_generator.features import Byte, Operator, Reading, Sided, Source
from feature_generator.numeric import FoundConfig
from feature_generator.values import BadValueError, as_number, as_text


class Config(FoundConfig):
    """Config of `lookup`."""

    single_input: ClassVar[bool] = False

    type: Literal["lookup"] = "lookup"
    map: Sided | None = None
    """The map, as `side:name`: text `key:value` with chr(29) or the separator between, a list of such texts, or a map."""
    key: Sided | None = None
    """The key or keys, as `side:name`."""
    combiner: Literal["", "sum", "mean", "avg", "min", "max", "count"] = "sum"
    """What becomes of the numbers of several keys; empty: with boundaries each its bucket, else the first. Words are not
    combined, whatever it says."""
    need_key: bool = False
    """Words are `<key>_<value>`."""
    value_dim: int | None = Field(None, ge=0, le=2**20)
    """Numbers per value, by default 1. Words are all kept, whatever it says."""
    value_separator: Byte = ","
    """Between the numbers of a value in text, with value_dim above 1."""

    @override
    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        problems = super().problems(encoded)
        for key in ("map", "key"):
            if getattr(self, key) is None and not encoded:
                problems.append((key, "needs a column, as side:name"))
        if self.numeric and self.combiner == "count" and (self.value_dim or 1) > 1:
            problems.append(("value_dim", "a count is one number"))
        if self.numeric and self.need_key:
            problems.append(("need_key", "goes with values that become ids"))
        return problems

    @property
    @override
    def dim(self) -> int:
        return 0 if self._all else self.value_dim or 1

    @property
    def _all(self) -> bool:
        """Whether every match gives its bucket."""
        return not self.combiner and self.boundaries is not None and (self.value_dim or 1) == 1

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Source.of(text) for text in (self.map, self.key) if text is not None] or [Source("item", self.name)]

    @property
    @override
    def readings(self) -> Sequence[Reading]:
        inner = Reading(separator=self.value_separator if self.numeric and (self.value_dim or 1) > 1 else None)
        return [Reading(pairs=inner, folded=True, either=True), Reading()]

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        parameters = {
            "combiner": {"avg": "mean"}.get(self.combiner, self.combiner) if self.numeric else "",
            "words": not self.numeric,
            "all": self._all,
            "need_key": self.need_key,
            "value_dim": self.value_dim or 1,
            "separator": self.separator,
            "value_separator": self.value_separator,
        }
        return Operator("lookup", parameters, numbers=self.numbers() if self.numeric else None)

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        pairs, keys = inputs
        known: dict[str, list[Any]] = {}
        for name, rest in [(as_text(key), rest) for key, rest in pairs]:
            if rest:
                known.setdefault(name, rest)
        names = [as_text(key) for key in keys]
        found = [(name, known[name]) for name in names if name in known]
        if not self.numeric:
            prefix = [f"{name}_" if self.need_key else "" for name, _ in found]
            return [p + as_text(value) for p, (_, rest) in zip(prefix, found, strict=True) for value in rest]
        if self.combiner == "count":
            return [len(found)] if found else []
        vectors = [[as_number(value) for value in rest] for _, rest in found]
        if any(len(vector) != (self.value_dim or 1) for vector in vectors):
            raise BadValueError("wrong length")
        if not vectors or not self.combiner:
            return [number for vector in vectors for number in vector] if self._all else (vectors or [[]])[0]
        columns = list(zip(*vectors, strict=True))
        if self.combiner in ("min", "max"):
            return [min(c) if self.combiner == "min" else max(c) for c in columns]
        totals = []
        for column in columns:
            total = column[0]
            for number in column[1:]:
                total += number
            totals.append(total / len(column) if self.combiner in ("mean", "avg") else total)
        return totals
