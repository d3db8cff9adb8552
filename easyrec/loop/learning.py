"""One version: its plan, its training, and whether it passes the gate. Each step is done once, however often it is begun."""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easyrec.config import load_experiment
from easyrec.errors import ConfigError, DataError, Problem, RunError, nearest
from easyrec.export.bundle import digest_of
from easyrec.loop import window as windows
from easyrec.loop.config import LoopConfig, require
from easyrec.loop.versions import Manifest, Versions, link_tree
from easyrec.loop.window import HELD, REPLAY, ROWS
from easyrec.loop.worsening import FOLD, Measured, Worsening, measured, parts_of, worsening
from easyrec.train import api

logger = logging.getLogger("easyrec.loop")

FIRST = 0
"""The version that a loop starts from."""


class Learner:
    """Makes versions of a model.

    Args:
        loop: The loop.
        versions: What is known of them.
        plugins: Files and packages with more models, features, ...
    """

    def __init__(self, loop: LoopConfig, versions: Versions, plugins: list[str] | None = None) -> None:
        self.loop, self.versions, self.plugins = loop, versions, list(plugins or ())
        self.experiment = load_experiment(loop.experiment, plugins=self.plugins)
        if loop.train.where == "positive" and self.label is None:
            raise ConfigError(
                [Problem("name the column that says which rows are positive: label: click", "train.label")]
            )
        self._scarce: tuple[int, int, int] | None = None

    @property
    def label(self) -> str | None:
        """The column that says what is positive."""
        labels, join = self.experiment.data.labels, self.loop.join
        first = labels[0] if labels else None if join is None else join.labels[0].name
        return self.loop.train.label or first

    # --------------------------------------------------------------------------------------------- start

    def start(self) -> None:
        """Let the run that the loop starts from be its first version.

        Raises:
            ConfigError: There is no such run.
            RunError: It has no bundle.
        """
        if self.loop.start is None or self.versions.newest is not None:
            return
        source = Path(self.loop.start)
        require(source, "start")
        if not (source / "bundle").is_dir() or not (source / "checkpoints").is_dir():
            raise RunError(f"start: {source} holds no finished run: it needs its checkpoints and its bundle")
        run = self.versions.run(FIRST)
        if not run.exists():
            link_tree(source, run)
        digest = digest_of_bundle(run / "bundle")
        self.versions.write(FIRST, "gate", {"passed": True, "why": "the loop starts from it"})
        self.versions.write(FIRST, "train", {"bundle": digest, "from": str(source), "seconds": 0.0})
        self.versions.write(
            FIRST, "plan", {"base": None, "until": 0, "samples": 0, "newest": None, "trained_until": None}
        )

    # ---------------------------------------------------------------------------------------------- plan

    def plan(self) -> int | None:
        """Plan the next version, if there are samples enough; gives its number."""
        window = windows.window_of(self.loop, self.versions)
        if window is None or not windows.is_due(self.loop, window):
            return None
        key = (window.first, window.until, window.rows)
        if key == self._scarce:
            return None
        begun = time.monotonic()
        number = max(self.versions, default=FIRST) + 1
        if number - 1 in self.versions and self.versions.read(number - 1, "plan") is None:
            number -= 1  # it was begun, and its plan was never written
        folder = self.versions.at(number)
        shutil.rmtree(folder, ignore_errors=True)
        made = windows.write_window(self.loop, window, folder, self.label)
        if made is None:
            shutil.rmtree(folder, ignore_errors=True)
            self._scarce = key
            return None
        plan = {
            "base": self.versions.good,
            "first": window.first,
            "until": window.until,
            "left": [str(path.relative_to(self.versions.folder)) for path in window.left],
            "parts": len(window.parts),
            "samples": window.samples,
            **made,
            "seconds": round(time.monotonic() - begun, 3),
        }
        self.versions.write(number, "plan", plan)
        return number

    # --------------------------------------------------------------------------------------------- train

    def train(self, number: int) -> None:
        """Train a version; one that was interrupted goes on.

        Raises:
            DataError: Its rows are not those of its plan.
        """
        if self.versions.read(number, "train") is not None:
            return
        begun, folder = time.monotonic(), self.versions.at(number)
        plan = self._plan(number)
        windows.check(folder, plan["digests"])
        run = self.versions.run(number)
        overrides = self._overrides(plan["base"])
        paths = [str(folder / name) for name in (ROWS, REPLAY) if name in plan["digests"]]
        data: dict[str, Any] = {"train": _parquet(paths), "test": _parquet(str(folder / HELD))}
        if self.experiment.eval.calibration is not None:
            data["valid"] = data["test"]
        source: Any = self.loop.experiment
        done = api.train(
            source,
            data=data,
            overrides=overrides,
            plugins=self.plugins,
            run_dir=run,
            resume=run.exists(),
            progress=False,
        )
        if done.bundle is None:
            raise RunError(f"{run}: the model has no bundle, so it cannot be served")
        metrics = dict(done.metrics.get("test") or {})
        seconds = round(time.monotonic() - begun, 3)
        self.versions.write(
            number, "train", {"bundle": digest_of_bundle(done.bundle), "metrics": metrics, "seconds": seconds}
        )

    def _plan(self, number: int) -> Manifest:
        plan = self.versions.read(number, "plan")
        if plan is None:
            raise RunError(f"version {number} has no plan")
        return plan

    def _overrides(self, base: int | None) -> dict[str, Any]:
        """What is laid over the experiment: the loop holds rows out itself, and goes on from a version."""
        data, train = self.experiment.data, self.experiment.train
        made: dict[str, Any] = {"train.checkpoint": {"best": False, "keep": 1}}
        if data.split is not None:
            made["data.split"] = None
        if data.valid is not None and self.experiment.eval.calibration is None:
            made["data.valid"] = None
        if train.early_stop is not None:
            made["train.early_stop"] = None
        if data.event_time is None:
            made["data.event_time"] = windows.TIME
        made |= self.loop.train.overrides
        if base is not None:
            made["train.init_from"] = {"path": str(self.versions.run(base)), "optimizer": True}
        return made

    # ---------------------------------------------------------------------------------------------- gate

    def gate(self, number: int) -> bool:
        """Whether a version may be served; what was measured is in its manifest.

        Raises:
            ConfigError: There is no such metric.
        """
        known = self.versions.read(number, "gate")
        if known is not None:
            return bool(known["passed"])
        begun, gate = time.monotonic(), self.loop.gate
        trained = self.versions.read(number, "train")
        assert trained is not None
        value = metric_of(trained["metrics"], gate.metric)
        served = self.versions.served
        former = None if served is None else self.measure(served, number)
        drop = None
        if gate.max_drop is not None and former is not None and value is not None:
            own, sign = self.measure(number, number), 1.0 if gate.more_is_better else -1.0
            drop = worsening(own._replace(value=value), former, sign, gate.level)
        why = refusal(self.loop, value, drop)
        manifest = {
            "passed": not why,
            "why": why,
            "metric": gate.metric,
            "value": value,
            "serving": None if former is None else former.value,
            "serving_version": served,
            "drop": None if drop is None else [one if math.isfinite(one) else None for one in drop],
            "rows": self._plan(number)["held"],
            "seconds": round(time.monotonic() - begun, 3),
        }
        self.versions.write(number, "gate", manifest)
        if drop is not None and not why and gate.max_drop is not None and drop.high > gate.max_drop:
            logger.warning(
                "version %d passes, but the samples cannot tell whether it is worse by more than max_drop: %s is worse by "
                "%.5f, and may be by %.5f to %.5f",
                *(number, gate.metric, *drop),
            )
        if why:
            logger.warning("version %d is refused: %s", number, why)
            self.versions.tell({**self._told(number), "result": "refused", "why": why})
        return not why

    def measure(self, which: int, on: int) -> Measured:
        """What a version reaches on the rows that another one was measured on."""
        held, overrides = self.versions.at(on) / HELD, self._measuring(which)
        by_parts = self.loop.gate.max_drop is not None and self.experiment.eval.retrieval is None
        source: Any = _parquet(str(held))
        if by_parts:
            known = overrides.get("eval") or {}
            overrides = (
                {**overrides, "eval": {**known, "slices": [*known.get("slices", ()), FOLD]}}
                if known
                else {**overrides, "eval.slices": [FOLD]}
            )
            source = parts_of(held)
        done = api.evaluate(
            self.versions.run(which),
            data={"test": source},
            plugins=self.plugins,
            overrides=overrides,
        )
        metrics, name = dict(done.metrics["test"]), self.loop.gate.metric
        return measured(metrics, name, metric_of(metrics, name))

    def _measuring(self, which: int) -> dict[str, Any]:
        """The measures of now, also for a run that was trained with others."""
        if which != FIRST:
            return {}
        document = self.experiment.document.raw
        told: dict[str, Any] = {"eval": document["eval"]} if isinstance(document.get("eval"), Mapping) else {}
        return told

    def _told(self, number: int) -> Manifest:
        plan, trained, gate = (self.versions.read(number, step) or {} for step in ("plan", "train", "gate"))
        return {
            "version": number,
            "metric": self.loop.gate.metric,
            "value": gate.get("value"),
            "serving": gate.get("serving"),
            "rows": plan.get("learned"),
            "replayed": plan.get("replayed"),
            "trained_until": plan.get("trained_until"),
            "seconds": {"plan": plan.get("seconds"), "train": trained.get("seconds"), "gate": gate.get("seconds")},
        }

    def published(self, number: int) -> None:
        """Add to the history that a version is served."""
        publish = self.versions.read(number, "publish") or {}
        told = self._told(number)
        told["seconds"] = {**told["seconds"], "publish": publish.get("seconds")}
        self.versions.tell({**told, "result": "published"})


def refusal(loop: LoopConfig, value: float | None, drop: Worsening | None) -> str:
    """Why a version may not be served; empty where it may.

    Args:
        loop: The loop.
        value: What it reaches.
        drop: By how much it is worse than the version that is served, None where there is none, or it cannot be measured.
    """
    gate, name = loop.gate, loop.gate.metric
    if value is None:
        return f"{name} cannot be told on the samples that were held out"
    sign = 1.0 if gate.more_is_better else -1.0
    if gate.min is not None and sign * (value - gate.min) < 0:
        return f"{name} {value:.5f} is {'below' if sign > 0 else 'above'} {gate.min:.5f}"
    if gate.max_drop is not None and drop is not None:
        told = f"{name} {value:.5f} is worse than that of what is served by {drop.value:.5f}"
        if drop.low > gate.max_drop:
            return f"{told}, by {drop.low:.5f} at least: by more than {gate.max_drop:.5f}"
        if gate.unsure == "refuse" and drop.high > gate.max_drop:
            return f"{told}, and may be by {drop.high:.5f}: by more than {gate.max_drop:.5f}"
    return ""


def metric_of(metrics: Mapping[str, Any], name: str) -> float | None:
    """The value of a metric; None where it could not be told.

    Raises:
        ConfigError: It was not measured.
    """
    if name not in metrics:
        text = f"'{name}' is not measured{nearest(name, list(metrics))}; measured: {', '.join(metrics) or 'nothing'}"
        raise ConfigError([Problem(text, "gate.metric")])
    value = metrics[name]
    return None if value is None or not math.isfinite(value) else float(value)


def digest_of_bundle(path: Path) -> str:
    """Of a bundle, or of the two of a model with two towers."""
    if (path / "manifest.json").exists():
        return digest_of(path)
    towers = [folder for folder in (path / "user", path / "item") if (folder / "manifest.json").exists()]
    if not towers:
        raise DataError("is no bundle", file=str(path))
    return "+".join(digest_of(folder) for folder in towers)


def _parquet(path: Any) -> dict[str, Any]:
    return {"type": "parquet", "path": path}
