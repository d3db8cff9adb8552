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
from easyrec.config.parts import NO_ROWS
from easyrec.config.statistic import StatisticConfig
from easyrec.config.tune import RowsConfig
from easyrec.data import open_sources
from easyrec.data.beside import raw_name
from easyrec.data.sources._sampled import SampledSource
from easyrec.durable import write_text
from easyrec.errors import ConfigError, TuneError
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
        rows: Shares of the rows that it is trained on one after another; None: on all.
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
    rows: RowsConfig | None = None
    evaluations: int = 0
    cut: str = ""
    weights: int = 0
    ended: str = ""
    started: float = field(default=0.0, init=False)

    def run(self) -> dict[str, float]:
        """Train; the objectives and all metrics of the evaluation that a run would keep, means over seeds.

        Raises:
            Hopeless: An evaluation, or a share of the rows, was so bad that the rest is not worth its time.
            TimeUp: Time was up before the first evaluation.
            Interrupted: A signal came.
            ConfigError: Config and data do not fit.
            FeatureGeneratorError: Training cannot go on.
        """
        self.started = self.clock()
        first = self.experiment({}).train.seed
        for share in self.rows.shares[:-1] if self.rows is not None else ():
            values = self._train(self.experiment({}), pruning=False, share=share)
            if self.cut:
                return values
            if self._hopeless(values):
                self.ended = f"ended at {share:.3g} of the rows"
                raise Hopeless
        found = []
        for number in range(self.seeds):
            more = {"train.seed": first + number} if number else {}
            found.append(self._train(self.experiment(more), pruning=not number and self.rows is None))
            if self.cut:
                break
        names = [name for name in found[0] if all(name in values for values in found)]
        mean = {name: statistics.fmean(values[name] for values in found) for name in names}
        for objective in self.objectives:
            if not math.isfinite(mean.get(objective.name, math.nan)):
                raise TuneError(f"'{objective.name}' is not defined on valid")
        if self.rows is not None:
            self._hopeless(mean)  # told alone: it has ended
        return mean

    def _hopeless(self, values: Mapping[str, float]) -> bool:
        """Whether the trial is to end here, by what it has come to."""
        self.evaluations += 1
        first = next(o for o in self.objectives if o.is_metric)
        return self.report is not None and self.report(values[first.name], self.evaluations)

    def _train(self, experiment: Experiment, *, pruning: bool, share: float = 1.0) -> dict[str, float]:
        data = self.data if self.rows is None or share == 1 else self._sampled(experiment, self.rows, share)
        wanted = [o.name for o in self.objectives if not o.is_metric]
        if isinstance(experiment.model, StatisticConfig):
            run = train_statistic(experiment, self.folder, data=data, overwrite=True, bar=False, export=False)
            return {name: value for name, value in run.metrics["valid"].items() if value is not None}
        watcher = _Watcher(self, pruning)
        trainer = Trainer(experiment, self.folder, data=data, overwrite=True, bar=False, export=False, observer=watcher)
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

    def _sampled(self, experiment: Experiment, rows: RowsConfig, share: float) -> dict[str, Any]:
        """The rows by part, with a share of those to learn from."""
        part = open_sources(experiment, self.data).train
        if part is None:
            raise experiment.placed(ConfigError([NO_ROWS]))
        clock = None if rows.column is None else raw_name(rows.column, part.columns, experiment.data.fg)
        try:
            sampled = SampledSource(part.source, share, clock, part.predicate)
        except ConfigError as error:
            raise experiment.placed(error) from None
        return {**(self.data or {}), "train": sampled}


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
        if self.trial._hopeless({self.first.name: float(values[self.first.name])}):
            raise Hopeless
