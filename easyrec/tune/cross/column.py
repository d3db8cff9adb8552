"""`Column`: a raw column that features can be made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from easyrec.config import Experiment
from easyrec.data.sources import Source as DataSource
from easyrec.errors import ConfigError, Problem
from feature_generator import OutputSpec
from feature_generator.features import MULTIVAL, Source

SIDES = ("user", "item", "context")
"""Sides that columns of the data are on."""


@dataclass(frozen=True)
class Column:
    """A raw column.

    Attributes:
        name: What its features are called after.
        source: `side:name`, as features read it.
        kind: `words`, one or several a row, or `numbers`, one a row.
        separator: Between several values in text.
        feature: The feature that reads it already.
        embedding_dim: Width of that one's embedding, None where the model decides.
    """

    name: str
    source: str
    kind: Literal["words", "numbers"]
    separator: str = MULTIVAL
    feature: str | None = None
    embedding_dim: int | None = None

    @property
    def side(self) -> str:
        """Whose it is."""
        return Source.of(self.source).side

    @property
    def raw(self) -> str:
        """The column's name in the data."""
        return Source.of(self.source).name

    @property
    def reader(self) -> dict[str, Any]:
        """A feature whose `values` are the column's."""
        if self.kind == "numbers":
            return {"type": "raw", "name": self.name, "expression": self.source}
        words = {"type": "id", "name": self.name, "expression": self.source, "hash_bucket_size": 10}
        return {**words, "separator": self.separator}


def used_features(experiment: Experiment) -> dict[str, OutputSpec]:
    """Outputs that the model reads and that are no sequences."""
    groups = experiment.model.groups
    outputs = experiment.generator.outputs
    named = set(outputs) if groups is None else {name for group in groups.values() for name in group.features}
    return {n: spec for n, spec in outputs.items() if n in named and spec.sequence is None}


def columns_of(experiment: Experiment, data: DataSource, more: Sequence[str]) -> list[Column]:
    """The columns behind the features of ids and numbers that the model reads, and those that the section names.

    Raises:
        ConfigError: A named column is not in the data.
    """
    found = list(_behind(experiment))
    known = {column.source for column in found}
    taken = {column.name for column in found}
    problems = []
    for index, text in enumerate(more):
        source = Source.of(text)
        if text in known:
            continue
        where = f"cross.columns.{index}"
        if source.side not in SIDES:
            problems.append(Problem(f"'{text}' is no column of the data: its side is one of {', '.join(SIDES)}", where))
            continue
        if source.name not in data.columns:
            problems.append(Problem(f"the data has no column {data.hint(source.name)}", where))
            continue
        kind = data.columns[source.name]
        numbers = pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        name = source.name if source.name not in taken else f"{source.side}_{source.name}"
        known.add(text)
        taken.add(name)
        found.append(Column(name, text, "numbers" if numbers else "words"))
    if problems:
        raise experiment.placed(ConfigError(problems))
    return found


def _behind(experiment: Experiment) -> Iterator[Column]:
    seen: set[str] = set()
    for name, spec in used_features(experiment).items():
        config = spec.config
        if config.type not in ("id", "raw") or getattr(config, "weighted", False):
            continue
        (source,) = config.sources
        text = f"{source.side}:{source.name}"
        if source.side not in SIDES or text in seen:
            continue
        if config.type == "raw" and (config.value_dim or 1) != 1:
            continue
        seen.add(text)
        kind: Literal["words", "numbers"] = "words" if config.type == "id" else "numbers"
        yield Column(name, text, kind, config.separator, name, config.embedding_dim)
