"""What each feature costs: its time and its output, computed alone with what it reads."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from feature_generator.columns import Column, Table
from feature_generator.features.sequence import Config as SequenceConfig
from feature_generator.generator import FeatureGenerator


@dataclass(frozen=True)
class Cost:
    """What a feature, or all of them together, costs.

    Attributes:
        feature: Output; empty for all together.
        micros: CPU microseconds per 1,000 rows on one thread: the median over batches of the best of the rounds.
        share: Part of the sum over all features.
        output_bytes: Bytes of the output per row.
        ids: Ids or vectors per row.
    """

    feature: str
    micros: float
    share: float
    output_bytes: float
    ids: float


def profile(generator: FeatureGenerator, batches: Sequence[pa.RecordBatch], rounds: int = 5) -> tuple[list[Cost], Cost]:
    """Costs of every output in the order of the config, and of the generator as it is.

    A feature alone also pays for the call, for reading its columns, and for the features that it reads, which the
    generator does once for all: the sum over features lies above the whole.

    Args:
        generator: In `raw` mode.
        batches: Rows to measure on, a few thousand each; empty ones are left out.
        rounds: Each batch is computed this many times.
    """
    batches = [batch for batch in batches if batch.num_rows]
    costs = [_cost(name, alone(generator, name), batches, rounds) for name in generator.outputs]
    total = sum(cost.micros for cost in costs) or 1.0
    return [replace(cost, share=cost.micros / total) for cost in costs], _cost("", generator, batches, rounds)


def alone(generator: FeatureGenerator, output: str) -> FeatureGenerator:
    """A generator of one output, and of the features that it reads as intermediates."""
    nodes = {node.name: node for node in generator._resolved}
    needed, left = {output}, [output]
    while left:
        below = {source.name for source in nodes[left.pop()].inputs if source.side == "feature"} - needed
        needed |= below
        left += below

    def stub(config: Any, name: str) -> Any:
        return config if name == output else config.model_copy(update={"stub_type": True})

    features = []
    for config in generator.features:
        if isinstance(config, SequenceConfig):
            named = [(child, f"{config.name}__{child.name}") for child in config.features]
            children = [stub(child, name) for child, name in named if name in needed]
            if children:
                features.append(config.model_copy(update={"features": children}))
        elif config.name in needed:
            features.append(stub(config, config.name))
    return FeatureGenerator(generator.config.model_copy(update={"features": features}), "raw", generator.folder)


def _cost(name: str, generator: FeatureGenerator, batches: Sequence[pa.RecordBatch], rounds: int) -> Cost:
    times, size, ids, rows = [], 0, 0, 0
    for batch in batches:
        spent = []
        generator.transform(batch, bad_rows="default")  # unmeasured: memory and caches settle
        for _ in range(rounds):
            start = time.thread_time_ns()
            table = generator.transform(batch, bad_rows="default")
            spent.append(time.thread_time_ns() - start)
        times.append(min(spent) / batch.num_rows)  # nanoseconds per row are microseconds per thousand
        size, ids, rows = size + table_bytes(table), ids + _ids(table), rows + batch.num_rows
    return Cost(name, statistics.median(times) if times else 0.0, 1.0, size / max(1, rows), ids / max(1, rows))


def table_bytes(table: Table) -> int:
    """Bytes of a table's buffers."""
    total = table.dense.nbytes
    for column in table.values():
        if not isinstance(column, Column):
            parts = (column.values, column.offsets, column.weights, column.key_offsets)
            total += sum(part.nbytes for part in parts if part is not None)
    return total


def _ids(table: Table) -> int:
    return sum(len(column.values) for column in table.values())
