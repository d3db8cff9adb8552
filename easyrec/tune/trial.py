"""One trial: the training of a point, its result, and what ends it early."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from easyrec.config import Experiment
from easyrec.config.statistic import StatisticConfig
from easyrec.durable import write_text
from easyrec.errors import TuneError
from easyrec.train.interrupt import Interrupted
from easyrec.train.observer import Observer
from easyrec.train.statistics import train_statistic
from easyrec.train.trainer import Trainer
from easyrec.tune.costs import costs
from easyrec.tune.search import Objective


class Hopeless(Exception):  # noqa: N818 (it says what the trial is)
    """The trial would not win."""


class TimeUp(Exception):  # noqa: N818 (it says what happened)
    """The trial, or the whole search, has taken as long as it may."""


@dataclass
class Trial:
    """A point of the space, to be trained.

    Attributes:
        experiment: What is trained, with more settings laid over it.
        plain: The same as a person would train it, who has no cache of features.
        folder: Folder of its run.
        objectives: What it is trained for.
        seeds: How often it is trained, each time with another seed.
        data: Rows by part that stand in for the config's.
        until: When the whole search ends, by `clock`.
        seconds: How long this trial may take.
        report: Is told the first objective after each evaluation, and its number; gives whether the trial is hopeless.
        stopped: Whether a signal has come, while no training was there to heed it.
        clock: Seconds that never run backwards.
    """

    experiment: Callable[[dict[str, Any]], Experiment]
    plain: Callable[[dict[str, Any]], Experiment]
    folder: Path
    objectives: tuple[Objective, ...]
    seeds: int = 1
    data: Mapping[str, Any] | None = None
    until: float = math.inf
    seconds: float | None = None
    report: Callable[[float, int], bool] | None = None
    stopped: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    evaluations: int = 0
    cut: str = ""
    weights: int = 0
    started: float = field(default=0.0, init=False)

    def run(self) -> dict[str, float]:
        """Train; the objectives and all metrics of the evaluation that a run would keep, means over seeds.

        Raises:
            Hopeless: An evaluation was so bad that the rest is not worth its time.
            TimeUp: Time was up before the first evaluation.
            Interrupted: A signal came.
            ConfigError: Config and data do not fit.
            FeatureGeneratorError: Training cannot go on.
        """
        self.started = self.clock()
        first = self.experiment({}).train.seed
        found = []
        for number in range(self.seeds):
            more = {"train.seed": first + number} if number else {}
            found.append(self._train(self.experiment(more), pruning=not number))
            if self.cut:
                break
        names = [name for name in found[0] if all(name in values for values in found)]
        mean = {name: statistics.fmean(values[name] for values in found) for name in names}
        for objective in self.objectives:
            if not math.isfinite(mean.get(objective.name, math.nan)):
                raise TuneError(f"'{objective.name}' is not defined on valid")
        return mean

    def _train(self, experiment: Experiment, *, pruning: bool) -> dict[str, float]:
        wanted = [o.name for o in self.objectives if not o.is_metric]
        if isinstance(experiment.model, StatisticConfig):
            run = train_statistic(experiment, self.folder, data=self.data, overwrite=True, bar=False, export=False)
            return {name: value for name, value in run.metrics["valid"].items() if value is not None}
        watcher = _Watcher(self, pruning)
        trainer = Trainer(
            experiment, self.folder, data=self.data, overwrite=True, bar=False, export=False, observer=watcher
        )
        self.weights = trainer.collection.plan.parameters
        try:
            trainer.fit()
        except TimeUp as up:
            if not watcher.kept:
                raise
            self.cut = str(up)
        finally:
            write_text(self.folder / "config.yaml", self.plain({}).to_yaml())
        return {**watcher.kept, **costs(trainer, wanted)}


class _Watcher(Observer):
    """Follows the training of a trial."""

    def __init__(self, trial: Trial, pruning: bool) -> None:
        self.trial, self.pruning = trial, pruning
        self.kept: dict[str, float] = {}
        self.first = next(o for o in trial.objectives if o.is_metric)

    def stepped(self) -> None:
        """End the training where time is up, or the search is to stop."""
        if self.trial.stopped():
            raise Interrupted("stopped")
        trial, now = self.trial, self.trial.clock()
        if trial.seconds is not None and now - trial.started > trial.seconds:
            raise TimeUp(f"cut after {trial.seconds:g} seconds")
        if now > trial.until:
            raise TimeUp("cut where the search ended")

    def evaluated(self, values: Mapping[str, float], *, improved: bool) -> None:
        """Keep the best evaluation, and end the training where it is hopeless."""
        if improved or not self.kept:
            self.kept = {name: float(value) for name, value in values.items() if value is not None}
        if not self.pruning:
            return
        self.trial.evaluations += 1
        told = float(values[self.first.name])
        if self.trial.report is not None and self.trial.report(told, self.trial.evaluations):
            raise Hopeless
