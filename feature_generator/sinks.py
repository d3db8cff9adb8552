"""The end of a feature: how values become ids or numbers, with what default, and what the output is for a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from feature_generator.discretizer import UNBOUNDED, Discretizer, SparseConfig
from feature_generator.dynamic import DynamicConfig
from feature_generator.errors import MissingExtra
from feature_generator.features import Numbers, Operator
from feature_generator.planning import Node, Report, separator_of

Kind: TypeAlias = Literal["sparse", "dense", "sparse_sequence", "dense_sequence"]


@dataclass(frozen=True)
class OutputSpec:
    """What one output of the generator is.

    Attributes:
        name: Key of the output in the `Table`.
        kind: `sparse` ids, `dense` numbers, or a sequence of either.
        side: `user`: the same for all candidates of a request; `item`: one row per candidate.
        mixed: Of side `item`, and reads user or context columns too: cannot be computed ahead for an item.
        value_dim: Numbers per vector; 1 for ids.
        num_embeddings: Ids lie in 0 .. num_embeddings - 1; None for numbers, and where an encoded config tells none.
        embedding_dim: Width of the embedding, None where the config leaves it to the model.
        embedding_name: Table; equal names share it.
        pooling: `sum` or `mean` of several ids.
        trainable: Whether the embedding learns.
        weighted: Ids have weights.
        sequence: The grouped sequence it belongs to, or its own name if it is a simple sequence.
        dense_embedding: How a number with an embedding_dim and no boundaries becomes a field, as the config says it.
        config: The feature's config.
    """

    name: str
    kind: Kind
    side: Literal["user", "item"]
    mixed: bool
    value_dim: int
    num_embeddings: int | None
    embedding_dim: int | None
    embedding_name: str
    pooling: Literal["sum", "mean"]
    trainable: bool
    weighted: bool
    sequence: str | None
    dense_embedding: str | Mapping[str, Any] | None
    config: Any

    @property
    def dynamic(self) -> DynamicConfig | None:
        """The rules of a dynamic table; None where ids are rows."""
        found: DynamicConfig | None = getattr(self.config, "dynamic", None)  # numbers have no such key
        return found

    @property
    def rows(self) -> int | None:
        """Rows of the table: `num_embeddings`, or the capacity of a dynamic one."""
        return self.num_embeddings if self.dynamic is None else self.dynamic.capacity


@dataclass(frozen=True)
class Finished:
    """A feature with all that its config decides.

    Attributes:
        operator: How values are made.
        sink: Rule of the native plan for what becomes of them.
        spec: What the output is.
    """

    operator: Operator
    sink: dict[str, Any]
    spec: OutputSpec


def finish(node: Node, hash_name: str, folder: Path | None, report: Report) -> Finished:
    """Operator, sink and output of a node."""
    operator, sink, size = _sink(node, hash_name, folder, report)
    return Finished(operator, sink, _spec(node, operator, size))


def _sink(
    node: Node, hash_name: str, folder: Path | None, report: Report
) -> tuple[Operator, dict[str, Any], int | None]:
    """Operator, native sink and number of embeddings."""
    config = node.config
    discretizer = Discretizer("text")
    try:
        operator = config.compile(node.default, node.sequence, folder)
        if operator.numbers is not None:
            return _numeric_sink(node, operator)
        if isinstance(config, SparseConfig):
            discretizer = config.discretizer(hash_name, node.raw_default, folder)
    except (OSError, ValueError, MissingExtra) as error:
        key = "" if isinstance(error, MissingExtra) else getattr(error, "key", next(iter(config.files), ""))
        text = f"cannot read '{config.files.get(key)}': {error.strerror}" if isinstance(error, OSError) else str(error)
        report((*node.path, *(key.split(".") if key else ())), text)
        operator = Operator("copy")
    size = discretizer.size or None
    if node.encoded:
        operator = Operator("copy")
        discretizer = Discretizer("range", size or UNBOUNDED, out_of_range=getattr(config, "out_of_range", "default"))
    sink = discretizer.rule() | {"weighted": bool(getattr(config, "weighted", False))}
    first_only = not node.encoded and isinstance(config, SparseConfig) and config.first_only(node.sequence)
    sink["value_dim"] = int(first_only)
    texts = default_texts(node, operator)
    texts = texts[:1] if first_only else texts
    if discretizer.kind == "text":
        sink["default_texts"] = texts
        return operator, sink, None
    try:
        sink["default_ids"] = [discretizer.id_of(text) for text in texts]
    except ValueError as error:
        report((*node.path, "fg_encoded_default_value" if node.encoded else "default_value"), str(error))
    return operator, sink, size


def default_texts(node: Node, operator: Operator) -> list[str]:
    """The values of a default that becomes ids."""
    if operator.defaults is not None and not node.encoded:
        return operator.defaults
    if operator.name == "copy" or node.encoded:
        return [part for part in node.default.split(separator_of(node)) if part]
    return [node.default] if node.default else []


def _numeric_sink(node: Node, operator: Operator) -> tuple[Operator, dict[str, Any], int | None]:
    config: Any = node.config
    numbers = operator.numbers
    assert numbers is not None
    size = None if numbers.boundaries is None else len(numbers.boundaries) + 1
    if node.encoded and size is not None:  # the column holds buckets
        rule = Discretizer("range", size).rule()
        texts = [t for t in node.default.split(separator_of(node)) if t]
        return Operator("copy"), rule | {"value_dim": 0, "default_ids": [int(t) for t in texts]}, size
    if node.encoded:
        operator = Operator("copy", numbers=Numbers(numbers.value_dim))
    default = config.default_numbers(node.default, node.encoded)
    if numbers.value_dim == 0:  # any number of buckets: the default is theirs too
        edges = np.array(numbers.boundaries, np.float32)
        buckets = np.searchsorted(edges, np.array(default, np.float32), side="right").tolist()
        rule = {"discretizer": "boundaries", "size": size, "value_dim": 0, "boundaries": edges.tolist()}
        return operator, rule | {"normalizer": numbers.normalizer, "default_ids": buckets}, size
    sink = {
        "discretizer": "none" if size is None else "boundaries",
        "value_dim": numbers.value_dim,
        "normalizer": operator.numbers.normalizer if operator.numbers else {},
        "boundaries": list(numbers.boundaries or ()),
        "default_numbers": default,
    }
    return operator, sink, size


def _spec(node: Node, operator: Operator, size: int | None) -> OutputSpec:
    config: Any = node.config
    dense = operator.numbers is not None and operator.numbers.boundaries is None
    kind: Any = ("dense" if dense else "sparse") + ("_sequence" if node.sequence or node.exploded else "")
    return OutputSpec(
        name=node.name,
        kind=kind,
        side=node.sided,
        mixed="item" in node.sides and bool(node.sides & {"user", "context"}),
        value_dim=operator.numbers.value_dim if dense and operator.numbers else 1,
        num_embeddings=size,
        embedding_dim=config.embedding_dim,
        embedding_name=config.embedding_name or node.name,
        pooling=config.pooling,
        trainable=config.trainable,
        weighted=bool(getattr(config, "weighted", False)),
        sequence=node.group.name if node.group is not None else node.name if kind.endswith("sequence") else None,
        dense_embedding=config.dense_embedding if dense and config.embedding_dim is not None else None,
        config=config,
    )
