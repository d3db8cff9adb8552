"""Why a row's features are what they are: cells, operators' values, numbers, ids, and which rule gave a default."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pyarrow as pa

from feature_generator.columns import Column, Ragged, Table
from feature_generator.discretizer import Discretizer, SparseConfig
from feature_generator.errors import ConfigError, DataError, nearest
from feature_generator.features.sequence import Config as SequenceConfig
from feature_generator.generator import FeatureGenerator
from feature_generator.incoming import record
from feature_generator.numeric import NumericConfig
from feature_generator.planning import Node

MOST_NOTES = 5
"""Notes of one kind that are told one by one."""

ENDLESS = 2**31 - 1


@dataclass(frozen=True)
class Cell:
    """One input as it was read.

    Attributes:
        source: `side:name` of the column, feature or constant.
        value: What it holds; of a feature the values that it hands on.
    """

    source: str
    value: Any


@dataclass(frozen=True)
class Explanation:
    """One feature of one row.

    Attributes:
        feature: Its name; of a sequence's child `<sequence>__<child>`.
        type: Its type in the config.
        inputs: What it read.
        values: What its operator made of them, before anything is normalised or becomes an id; of a sequence a list
            per element.
        numbers: The numbers after the normalizer, with defaults, where buckets follow; else None.
        output: What comes out, as `values_of` shows it; None for an intermediate.
        table: Name of the embedding table that ids are rows of, empty where there is none.
        notes: Which rule gave a default, an unknown word's id, or cut the sequence.
    """

    feature: str
    type: str
    inputs: Sequence[Cell]
    values: Sequence[Any]
    numbers: Sequence[Any] | None = None
    output: Sequence[Any] | None = None
    table: str = ""
    notes: Sequence[str] = field(default_factory=list)


def explain(generator: FeatureGenerator, data: Any, row: int = 0, features: Sequence[str] = ()) -> list[Explanation]:
    """The features of one row, in the order of the config.

    Args:
        generator: In `raw` mode.
        data: As `FeatureGenerator.transform` takes it.
        row: Row of `data`.
        features: Names of outputs or intermediates, or of grouped sequences; none: all.

    Raises:
        ConfigError: There is no such feature.
        DataError: A column is missing, or there is no such row.
    """
    batch = record(data, list(generator.inputs))
    if not 0 <= row < batch.num_rows:
        raise DataError(f"there is no row {row}: the data has {batch.num_rows}")
    batch = batch.slice(row, 1)
    chosen = _chosen(generator, features)
    table = generator.transform(batch, bad_rows="default")
    values = {name: array[0].as_py() for name, array in generator.values(batch).items()}
    uncut = _varied(generator, _endless).values(batch)
    numbers = _numbers(generator, batch)
    found = []
    for node in chosen:
        spec = generator.outputs.get(node.name)
        whole = len(uncut[node.name][0].as_py() or ()) if node.sequence else 0
        explained = Explanation(
            node.name,
            node.config.type,
            [_cell(source.side, source.name, batch, values) for source in node.inputs],
            values[node.name] or [],
            numbers.get(node.name),
            None if spec is None else values_of(table[node.name], 0),
            spec.embedding_name if spec is not None and spec.kind.startswith("sparse") else "",
            [
                *(f"bad value in '{b.column}': {b.reason}" for b in table.bad if b.feature == node.name),
                *_notes(node, generator, values[node.name] or [], whole),
            ],
        )
        found.append(explained)
    return found


def values_of(column: Column | Ragged, row: int) -> list[Any]:
    """A row's values as plain data: numbers, ids, or `[id, weight]` pairs.

    Elements of a sequence that may hold several ids, or none, are lists of them.
    """
    if isinstance(column, Column):
        return list(column.values[row].tolist())
    one = column.slice(row, row + 1)
    values = one.values.tolist()
    if one.weights is not None:
        values = [[value, weight] for value, weight in zip(values, one.weights.tolist(), strict=True)]
    if one.key_offsets is None:
        return list(values)
    return [values[a:b] for a, b in pairwise(one.key_offsets.tolist())]


def _chosen(generator: FeatureGenerator, features: Sequence[str]) -> list[Node]:
    nodes = generator._resolved
    groups = {node.group.name for node in nodes if node.group is not None}
    known = [*(node.name for node in nodes), *groups]
    for name in features:
        if name not in known:
            raise ConfigError(f"there is no feature '{name}'{nearest(name, known)}")
    wanted = set(features)
    return [n for n in nodes if not wanted or n.name in wanted or (n.group is not None and n.group.name in wanted)]


def _cell(side: str, name: str, batch: pa.RecordBatch, values: dict[str, Any]) -> Cell:
    if side == "const":
        return Cell(f"const:{name}", name)
    value = values[name] if side == "feature" else batch.column(name)[0].as_py()
    return Cell(f"{side}:{name}", value)


# ------------------------------------------------------------------------------- the same features, otherwise


def _varied(generator: FeatureGenerator, change: Callable[[Any], Any]) -> FeatureGenerator:
    """The generator with every config changed; children of sequences too."""
    features = []
    for config in generator.features:
        made = change(config)
        if isinstance(config, SequenceConfig):
            made = made.model_copy(update={"features": [change(child) for child in config.features]})
        features.append(made)
    return FeatureGenerator(generator.config.model_copy(update={"features": features}), "raw", generator.folder)


def _endless(config: Any) -> Any:
    """A sequence that is never cut."""
    return config if config.sequence_length is None else config.model_copy(update={"sequence_length": ENDLESS})


def _numbers(generator: FeatureGenerator, batch: pa.RecordBatch) -> dict[str, list[Any]]:
    """The numbers that go into buckets, of features that no other one reads."""
    read = {source.name for node in generator._resolved for source in node.inputs if source.side == "feature"}
    wanted = {
        id(node.config): node.name
        for node in generator._resolved
        if node.name in generator.outputs and node.name not in read and _bucketed(node.config)
    }
    if not wanted:
        return {}
    plain = _varied(generator, lambda c: c.model_copy(update={"boundaries": None}) if id(c) in wanted else c)
    table: Table = plain.transform(batch, bad_rows="default")
    return {name: values_of(table[name], 0) for name in wanted.values()}


def _bucketed(config: Any) -> bool:
    """Whether its numbers become buckets, a fixed number of them."""
    return isinstance(config, NumericConfig) and config.numeric and config.boundaries is not None and config.dim > 0


# -------------------------------------------------------------------------------------------------- the rules


def _notes(node: Node, generator: FeatureGenerator, values: list[Any], whole: int) -> list[str]:
    default = f"the default '{_shown(node.default)}' stands for it" if node.default else "nothing comes out"
    if not node.sequence:
        return [f"no value: {default}"] if not values else _of_elements(node, generator, [values], default)
    notes = []
    if whole > len(values):
        kept = "newest" if node.rule.truncate == "newest" else "oldest"
        notes.append(f"cut from {whole} elements to the {len(values)} {kept} (sequence_length)")
    if not values:
        notes.append(
            "empty sequence: one element holds the default (empty: default)" if node.pads else "empty sequence"
        )
    return notes + _of_elements(node, generator, values, default)


def _of_elements(node: Node, generator: FeatureGenerator, elements: list[Any], default: str) -> list[str]:
    rule = _discretizer(node, generator)
    first = isinstance(node.config, SparseConfig) and node.config.first_only(node.sequence)
    notes = []
    for index, element in enumerate(elements):
        where = f"element {index}: " if node.sequence else ""
        if not element:
            notes.append(f"{where}no value: {default}")
        if first and len(element) > 1:
            notes.append(f"{where}only the first of {len(element)} values counts (value_dim)")
        for value in element[:1] if first else element:
            told = None if rule is None else _of_value(rule, value, default)
            if told:
                notes.append(where + told)
    more = len(notes) - MOST_NOTES
    return notes if more <= 0 else [*notes[:MOST_NOTES], f"and {more} more of the kind"]


def _discretizer(node: Node, generator: FeatureGenerator) -> Discretizer | None:
    config = node.config
    if not isinstance(config, SparseConfig) or (isinstance(config, NumericConfig) and config.numeric):
        return None
    return config.discretizer(generator.config.hash, node.raw_default, generator.folder)


def _of_value(rule: Discretizer, value: Any, default: str) -> str:
    """What a discretizer does with a value that it does not know; empty for one that it knows."""
    if rule.kind == "vocabulary" and value not in rule.words:
        return f"'{_shown(value)}' is not in the vocabulary: id {rule.unknown}"
    if rule.kind == "range":
        try:
            rule.id_of(str(value))
        except ValueError as error:
            what = {"default": default, "clip": "the nearest inside stands for it", "error": default}
            return f"{error}: {what[rule.out_of_range]}"
    return ""


def _shown(value: Any) -> str:
    text = str(value).replace("\x1d", "␝")
    return text if len(text) <= 60 else text[:57] + "..."
