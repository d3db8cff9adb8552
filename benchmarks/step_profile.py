"""Where the time of a training step goes: the ordinary trainer on DeepFM, from parquet, part by part.

`python benchmarks/step_profile.py [--threads 2] [--steps 90] [--rows 400000]`

The model and the rows are those of `train_throughput.py`. Page faults are counted too: memory that goes back to the
system at every step would cost a third of the time.
"""

from __future__ import annotations

import argparse
import copy
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ours_deepfm import config
from record import save, table
from train_throughput import synthetic

from easyrec.batch import Batch
from easyrec.config import load_experiment
from easyrec.train.trainer import Trainer

WARM_UP = 5


class Profiled(Trainer):
    """A trainer that times its parts, from the step after the warm-up on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seconds_of: dict[str, float] = {}
        self.collection.lookup = self.timed("lookup", self.collection.lookup)  # type: ignore[method-assign]
        self.collection.apply_gradients = self.timed(  # type: ignore[method-assign]
            "update of the tables", self.collection.apply_gradients
        )
        self.forward = self.timed("forward", self.forward)
        self.updates.step = self.timed("update of the dense part", self.updates.step)  # type: ignore[method-assign]

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            result = function(*args, **kwargs)
            self.seconds_of[name] = self.seconds_of.get(name, 0.0) + time.perf_counter() - start
            return result

        return call

    def _learn(self, batch: Batch) -> None:
        super()._learn(batch)
        if self.step == WARM_UP:
            self.seconds_of.clear()
            self.begun, self.waited = time.perf_counter(), self.watch.seconds["waiting for data"]
            self.faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        if self.step == self.config.steps:
            self.ended = time.perf_counter()
            self.waited = self.watch.seconds["waiting for data"] - self.waited
            self.faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - self.faults


def measure(spec: dict, precision: str, threads: int, steps: int) -> dict[str, float]:
    """Milliseconds per step of each part, and the speed of the whole."""
    settings = copy.deepcopy(config({**spec, "label": "label"}, precision, threads))
    settings["train"] |= {"epochs": None, "steps": steps}
    del settings["data"]["test"]
    folder = Path(spec["folder"]) / "profile"
    shutil.rmtree(folder, ignore_errors=True)
    trainer = Profiled(load_experiment(settings), folder, export=False, bar=False)
    trainer.fit()
    total, count = trainer.ended - trainer.begun, steps - WARM_UP
    parts = {"waiting for data": trainer.waited, **trainer.seconds_of}
    parts["loss and backward"] = total - sum(parts.values())
    result = {name: 1000 * seconds / count for name, seconds in parts.items()}
    return {**result, "step": 1000 * total / count, "faults": trainer.faults / count, "rows/s": 4096 * count / total}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=90)
    parser.add_argument("--rows", type=int, default=400_000)
    args = parser.parse_args()
    spec = synthetic(args.rows)
    found = {precision: measure(spec, precision, args.threads, args.steps) for precision in ("fp32", "bf16")}
    table([{"ms per step": part, **{p: values[part] for p, values in found.items()}} for part in found["fp32"]])
    save("step_profile", {"threads": args.threads, "steps": args.steps, "ms_per_step": found})


if __name__ == "__main__":
    main()
