"""What each feature costs: memory of tables, and time of a request."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from easyrec import models
from easyrec.check import build
from easyrec.config import Experiment
from easyrec.config.train import SGD
from easyrec.data import make_loader, open_sources
from easyrec.data.intake import raw_columns
from easyrec.data.sample import read_sample
from easyrec.embedding.plan import plan_embeddings
from easyrec.embedding.propagated import collection_of
from easyrec.embedding.spec import EmbeddingPlan
from easyrec.tune.select.activations import places
from easyrec.tune.select.units import Units
from feature_generator.profiling import profile

SAMPLE = 4096
"""Rows whose features are timed."""
ROUNDS = 5


@dataclass(frozen=True)
class Costs:
    """What units cost.

    Attributes:
        memory_mb: Of tables that no other unit reads, in fp32.
        latency_ms: Of a request, by unit: making the feature, looking it up, and its share of the model by its width.
    """

    memory_mb: Mapping[str, float]
    latency_ms: Mapping[str, float]

    def of(self, kind: str, unit: str) -> float:
        """One cost of a unit; 1 where there is none to tell units apart by."""
        if kind == "none":
            return 1.0
        return (self.latency_ms if kind == "latency" else self.memory_mb).get(unit, 0.0)


def memory_mb(experiment: Experiment) -> float:
    """Tables and dense part in fp32."""
    built = build(experiment)
    return (built.plan.bytes + 4 * (built.dense_parameters or 0)) / 1e6


def costs_of(experiment: Experiment, read: Experiment, units: Units, data: Mapping[str, Any] | None) -> Costs:
    """Measure what units cost, on rows of `train`.

    Args:
        experiment: The experiment.
        read: The same, whose features are read from files.
        units: Its features.
        data: Rows by part that stand in for the config's.
    """
    plan = plan_embeddings(experiment.generator.outputs, experiment.model)
    owner = units.owner
    memory = dict.fromkeys(units.features, 0.0)
    for table in plan.tables:
        readers = {owner[feature] for feature in table.features if feature in owner}
        if len(readers) == 1:
            memory[readers.pop()] += table.bytes / 1e6
    making = _making(experiment, data)
    reading = _reading(read, plan)
    latency = {
        unit: sum(making.get(f, 0.0) + reading.get(f, 0.0) for f in features)
        for unit, features in units.features.items()
    }
    return Costs(memory, latency)


def _making(experiment: Experiment, data: Mapping[str, Any] | None) -> dict[str, float]:
    """Milliseconds that each feature takes to be made in a request: of a user once, of items for each."""
    if experiment.data.fg == "encoded":
        return {}
    part = open_sources(experiment, data).train
    assert part is not None
    rows = read_sample(part, SAMPLE, raw_columns(experiment.generator, part.source)).combine_chunks()
    part.source.close()
    found, _ = profile(experiment.generator, rows.to_batches(), rounds=3)
    items = experiment.export.request.items
    outputs = experiment.generator.outputs
    return {c.feature: c.micros / 1e6 * (items if outputs[c.feature].side == "item" else 1) for c in found}


def _reading(experiment: Experiment, plan: EmbeddingPlan) -> dict[str, float]:
    """Milliseconds of lookup and model for a request's rows, shared out by the numbers that each feature fills."""
    part = open_sources(experiment).train
    assert part is not None
    loader = make_loader(experiment, part, training=False)
    batch = next(iter(loader))
    loader.close()
    with torch.random.fork_rng(devices=()):
        model = models.build(experiment.model, plan, experiment.tasks).eval()
    collection = collection_of(experiment.model, plan, SGD(), seed=experiment.train.seed)
    before, times = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            for _ in range(ROUNDS + 1):
                start = time.perf_counter()
                inputs = collection.lookup(batch)
                model(inputs)
                times.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    of_request = 1000 * statistics.median(times[1:]) * experiment.export.request.items / max(batch.size, 1)
    numbers = {
        feature: sum(_numbers(inputs.tensors[key], len(columns)) for key, columns in at)
        for feature, at in places(plan).items()
    }
    total = sum(numbers.values()) or 1
    return {feature: of_request * count / total for feature, count in numbers.items()}


def _numbers(tensor: torch.Tensor, width: int) -> int:
    return int(tensor.shape[0]) * width
