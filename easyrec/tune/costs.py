"""What a trained model costs: its size, and the time of a request."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from easyrec.device import CPU
from easyrec.errors import TuneError
from easyrec.export.warmup import FOLDER, WarmupRows
from easyrec.train.finish import export_trained
from easyrec.train.trainer import Trainer
from serving.predictor import Predictor

SIDES = ("user", "item", "context")
MEASURED, WARMING = 30, 5
"""Requests that are timed, after some that are not."""


def costs(trainer: Trainer, wanted: Sequence[str]) -> dict[str, float]:
    """The named ones of `easyrec.config.tune.COSTS`, of what a trainer has trained."""
    found: dict[str, float] = {}
    if "parameters" in wanted:
        dense = sum(p.numel() for p in trainer.model.parameters())
        found["parameters"] = float(dense + trainer.collection.plan.parameters)
    if {"latency_ms", "bundle_mb"} & set(wanted):
        trainer.scorer.to(CPU)
        with trainer.scorer.averaged():
            bundle = export_trained(trainer, {})
        if bundle is None:
            raise TuneError(f"'{trainer.experiment.model.type}' has no bundle, whose size and time could be measured")
        if "bundle_mb" in wanted:
            found["bundle_mb"] = sum(f.stat().st_size for f in bundle.rglob("*") if f.is_file()) / 1e6
        if "latency_ms" in wanted:
            found["latency_ms"] = latency_ms(bundle, trainer.experiment.export.request.items)
    return found


def latency_ms(bundle: Path, items: int) -> float:
    """Median time of a request of so many candidates, by one thread, of warm-up rows of the bundle."""
    predictor = Predictor.load(bundle)
    rows = WarmupRows.load(predictor.bundle.folder(FOLDER)).rows
    chosen = {side: [n for n, own in predictor.generator.inputs.items() if own == side] for side in SIDES}
    user, context = (rows.slice(0, 1).select(chosen[side]).to_pylist()[0] or None for side in ("user", "context"))
    candidates = rows.select(chosen["item"]).take(pa.array(np.arange(items) % rows.num_rows))
    before, times = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for _ in range(WARMING + MEASURED):
            start = time.perf_counter()
            predictor.predict(user, candidates, context)
            times.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return 1000 * statistics.median(times[WARMING:])
