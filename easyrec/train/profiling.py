"""Where the time of training steps goes: a table of parts, and a trace to look at."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from easyrec.durable import write_text

if TYPE_CHECKING:
    from easyrec.train.trainer import Trainer

logger = logging.getLogger("easyrec.train")

WARM_UP = 20
"""Steps before those that are measured: the first ones fetch memory and start threads."""
FOLDER, TABLE, TRACE = "profile", "profile.json", "trace.json"
WAITING = "waiting for data"


class Profile:
    """Measures some steps of a trainer, and writes `profile/` into its run's folder.

    Parts are timed around the calls that the trainer makes, in its own thread; on a GPU each of them waits for the device,
    so that a part holds its own work and the whole takes longer than without.

    Args:
        trainer: The trainer.
        steps: How many steps are measured.

    Attributes:
        written: Whether it has ended with something to tell.
    """

    def __init__(self, trainer: Trainer, steps: int) -> None:
        self.trainer, self.steps = trainer, steps
        self.seconds: dict[str, float] = {}
        self._wrapped: list[tuple[Any, str, Any]] = []
        self._first, self._began, self._waited = -1, 0.0, 0.0
        self._spent: dict[str, float] = {}
        self._trace: Any = None
        self.written = False

    def start(self) -> None:
        """Measure from the end of the warming up on."""
        trainer = self.trainer
        parts: list[tuple[Any, str, str]] = [
            (trainer.collection, "lookup", "lookup"),
            (trainer, "forward", "forward"),
            (trainer, "_losses", "losses"),
            (trainer.weighting, "backward", "backward"),
            (trainer.updates, "gradients", "regularizer and clipping"),
            (trainer.collection, "grad_square_sum", "regularizer and clipping"),
            (trainer.updates, "step", "update of the dense part"),
            (trainer.collection, "apply_gradients", "update of the tables"),
        ]
        for owner, name, part in parts:
            self._wrap(owner, name, self._timed(getattr(owner, name), part))
        self._first = trainer.step + WARM_UP
        self._wrap(trainer, "_learn", self._counted(trainer._learn))

    def _wrap(self, owner: Any, name: str, function: Callable[..., Any]) -> None:
        self._wrapped.append((owner, name, owner.__dict__.get(name)))
        owner.__dict__[name] = function  # beside the method: modules refuse to set what is no parameter

    def _timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._trace is None:
                return function(*args, **kwargs)
            with record_function(f"easyrec: {part}"):
                started = self._now()
                result = function(*args, **kwargs)
                self.seconds[part] = self.seconds.get(part, 0.0) + self._now() - started
            return result

        return timed

    def _counted(self, learn: Callable[..., Any]) -> Callable[..., Any]:
        def counted(batch: Any) -> None:
            if self.trainer.step == self._first:
                self._begin()
            learn(batch)
            if self._trace is not None and self.trainer.step == self._first + self.steps:
                self.stop()

        return counted

    def _now(self) -> float:
        if self.trainer.device.type == "cuda":
            torch.cuda.synchronize(self.trainer.device)
        return time.perf_counter()

    def _begin(self) -> None:
        on_gpu = [ProfilerActivity.CUDA] if self.trainer.device.type == "cuda" else []
        os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # else it writes a line at the start and the end
        self._trace = profile(activities=[ProfilerActivity.CPU, *on_gpu], profile_memory=False)
        self._trace.__enter__()
        self._spent = dict(self.trainer.loader.spent)
        self._waited = self.trainer.watch.seconds.get(WAITING, 0.0)
        self._began = self._now()

    def stop(self) -> None:
        """Write what was measured, where that has not been done; the trainer goes on as it was."""
        trainer, trace = self.trainer, self._trace
        measured = trainer.step - self._first
        for owner, name, before in reversed(self._wrapped):
            if before is None:
                del owner.__dict__[name]
            else:
                owner.__dict__[name] = before
        self._wrapped = []
        if self.written:
            return
        if trace is None or measured < 1:
            logger.warning("nothing was profiled: training ended within the first %s steps", WARM_UP + 1)
            return
        whole, self._trace, self.written = self._now() - self._began, None, True
        trace.__exit__(None, None, None)
        parts = {WAITING: trainer.watch.seconds.get(WAITING, 0.0) - self._waited, **self.seconds}
        parts["other"] = max(0.0, whole - sum(parts.values()))
        reader = {name: seconds - self._spent.get(name, 0.0) for name, seconds in trainer.loader.spent.items()}
        folder = trainer.folder.path / FOLDER
        folder.mkdir(exist_ok=True)
        trace.export_chrome_trace(str(folder / TRACE))
        told = {
            "steps": measured,
            "batch_size": trainer.experiment.data.batch_size,
            "device": str(trainer.device),
            "threads": trainer.threads,
            "seconds": whole,
            "parts": parts,
            "reader": reader,
        }
        write_text(folder / TABLE, json.dumps(told, indent=1) + "\n")
        for line in lines(told):
            trainer.progress.say(line)
        trainer.progress.say(f"trace: {folder / TRACE}, for chrome://tracing or ui.perfetto.dev")


def lines(told: dict[str, Any]) -> list[str]:
    """A profile as people read it."""
    steps, whole = told["steps"], told["seconds"]
    rate = steps * told["batch_size"] / whole
    result = [
        f"{steps} steps of {told['batch_size']:,} rows on {told['device']}, {rate:,.0f} samples/s under the profiler"
    ]
    result += [f"  {'part':<28}{'ms a step':>10}{'share':>8}"]
    for part, seconds in told["parts"].items():
        result.append(f"  {part:<28}{1000 * seconds / steps:>10.2f}{seconds / whole:>8.1%}")
    for part, seconds in told["reader"].items():
        result.append(f"  {'beside it: ' + part:<28}{1000 * seconds / steps:>10.2f}{seconds / whole:>8.1%}")
    return result


def read_profile(run_dir: Path) -> dict[str, Any] | None:
    """What a run's profile says; None where it has none."""
    path = run_dir / FOLDER / TABLE
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return found
