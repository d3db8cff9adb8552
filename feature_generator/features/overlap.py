"""`overlap`: how much the words of a query and of a title have in common."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field
from typing_extensions import override

from feature_generator.features import Operator, Sided, Source
from feature_generator.numeric import NumericConfig
from feature_generator.values import as_text

Method = Literal[
    "query_common_ratio",
    "title_common_ratio",
    "is_contain",
    "is_equal",
    "index_of",
    "proximity_min_cover",
    "proximity_min_dist",
    "proximity_max_dist",
    "proximity_avg_dist",
]


class Config(NumericConfig):
    """Config of `overlap`."""

    single_input: ClassVar[bool] = False

    type: Literal["overlap"] = "overlap"
    query: Sided = ""
    """The column with the query's words, as `side:name`."""
    title: Sided = ""
    """The column with the title's words, as `side:name`."""
    method: Method | None = None
    """What is measured."""
    default_value: str = "0"
    """Always 0: what a missing query or title gives."""
    value_dim: int | None = Field(None, ge=1, le=1)
    """Always 1: the feature is one number."""

    @override
    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        problems = super().problems(encoded)
        if encoded:
            return problems
        problems += [
            (key, "this key is required, as side:name") for key in ("query", "title") if not getattr(self, key)
        ]
        if self.method is None:
            problems.append(("method", f"this key is required; known: {', '.join(get_args(Method))}"))
        if self.default_value != "0":
            text = (
                f"a missing query or title gives 0 in every overlap; leave the key out (it is '{self.default_value}')"
            )
            problems.append(("default_value", text))
        return problems

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Source.of(self.query or f"user:{self.name}"), Source.of(self.title or f"item:{self.name}")]

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        return Operator("overlap", {"method": self.method or "is_equal"}, numbers=self.numbers())

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        query, title = ([as_text(value) for value in values] for values in inputs)
        if not query or not title or self.method is None:
            return []
        return [measure(self.method, query, title)]


def measure(method: Method, query: list[str], title: list[str]) -> float:
    """The overlap of two lists of words, neither of them empty.

    Source:
        Distances: Tao and Zhai, "An Exploration of Proximity Measures in Information Retrieval", SIGIR 2007, sec. 4.
    """
    common = set(query) & set(title)
    if method == "query_common_ratio":
        return len(common) / len(set(query))
    if method == "title_common_ratio":
        return len(common) / len(set(title))
    if method == "is_equal":
        return float(query == title)
    if method in {"is_contain", "index_of"}:
        starts = range(len(title) - len(query) + 1)
        first = next((start for start in starts if title[start : start + len(query)] == query), -1)
        return float(first) if method == "index_of" else float(first >= 0)
    if method == "proximity_min_cover":
        if common != set(query):
            return 0.0
        ends = range(1, len(title) + 1)
        return float(min(end - start for end in ends for start in range(end) if common <= set(title[start:end])))
    places = [[i for i, word in enumerate(title) if word == term] for term in sorted(common)]
    gaps = [min(abs(i - j) for i in first for j in second) for first, second in combinations(places, 2)]
    if not gaps:
        return float(len(title) + 1)
    if method == "proximity_avg_dist":
        return sum(gaps) / len(gaps)
    return float(min(gaps) if method == "proximity_min_dist" else max(gaps))
