"""`easyrec.compress`: find what makes the tables of a trained model so many times smaller without costing accuracy."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from easyrec.batch import Batch
from easyrec.config import Experiment, load_experiment
from easyrec.config.parts import NO_ROWS
from easyrec.config.statistic import StatisticConfig
from easyrec.data import Sources, make_loader, open_sources
from easyrec.errors import ConfigError, Problem, RunError
from easyrec.train.api import train
from easyrec.train.interrupt import Interrupted
from easyrec.train.restore import restore
from easyrec.train.run_folder import RunFolder, run_path
from easyrec.train.scorer import Scorer
from easyrec.tune.compress.ladder import Candidate, finished, learned
from easyrec.tune.compress.measured import Bench, Measured
from easyrec.tune.compress.outputs import BEST, REPORT, write_best, write_report, write_table
from easyrec.tune.study import differences

logger = logging.getLogger("easyrec.tune")


@dataclass(frozen=True)
class Compressed:
    """What was found.

    Attributes:
        path: The folder.
        config: `best.yaml`, which `easyrec train` and `easyrec export` take.
        report: `report.html`.
        target: How many times smaller the tables were to become.
        bytes: Of the tables in fp32.
        auc: By binary task, before.
        tried: All that was measured, in order.
        best: What `best.yaml` has: of what costs little enough the mildest that reaches the target, else the smallest.
    """

    path: Path
    config: Path
    report: Path
    target: float
    bytes: int
    auc: Mapping[str, float]
    tried: Sequence[Measured]
    best: Measured | None

    @property
    def reached(self) -> bool:
        """Whether the target is reached."""
        return self.best is not None and self.bytes >= self.target * self.best.bytes


def compress(
    config: str | os.PathLike[str] | Mapping[str, Any],
    *,
    target: float = 4.0,
    data: Mapping[str, Any] | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    plugins: Sequence[str | os.PathLike[str]] = (),
    run_dir: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    retrain: bool = False,
    overwrite: bool = False,
    told: Callable[[Measured], None] | None = None,
) -> Compressed:
    """Measure ways to make the tables of a trained model smaller; where the run is not there yet, it is trained.

    Stopped at any moment, call it again: what was trained is not trained anew, only measured.

    Args:
        config: What was trained; the folder of the run will do.
        target: How many times smaller than in fp32 the tables are to become.
        data: Rows by part that stand in for the config's.
        overrides: Settings laid over the config, e.g. `export.max_auc_drop`.
        plugins: Files and packages with more models, losses, features, ..., see `feature_generator.config.plug`.
        run_dir: Folder of the run; default `runs/<name>`.
        output: Folder of what is found; default the folder of the run with `-compress` behind it.
        retrain: Also train the model with tables that are made of smaller ones.
        overwrite: Replace what is in the folder.
        told: Gets each measurement as it is made.

    Raises:
        ConfigError: The config cannot work, has no held-out rows, or is of a model without scores to compare.
        RunError: The folder holds something else.
        Interrupted: A signal came; `best.yaml` and the table tell of what was measured.
    """
    if not (math.isfinite(target) and target > 1.0):
        raise ConfigError(
            [Problem(f"must be above 1, but is {target:g}: how many times smaller tables become", "target")]
        )
    given = isinstance(config, str | os.PathLike) and Path(config).is_dir()
    experiment = load_experiment(config, overrides, plugins=plugins)
    run = Path(run_dir) if run_dir is not None else Path(os.fspath(config)) if given else run_path(experiment.name)  # type: ignore[arg-type]
    _refuse(experiment)
    folder = Path(output) if output is not None else run.with_name(f"{run.name}-compress")
    with RunFolder(folder, resume=_begun(folder, experiment, overwrite=overwrite), overwrite=overwrite) as written:
        written.describe(experiment)
        search = _Search(experiment, run, folder, target, data, plugins, told or _log)
        try:
            return search.run(retrain=retrain)
        except (Interrupted, KeyboardInterrupt):
            count = len(search.tried)
            text = f"stopped after {count} way{'s' * (count != 1)}; the config so far is {folder / BEST}"
            raise Interrupted(f"{text}. To go on: the same command") from None


def _begun(folder: Path, experiment: Experiment, *, overwrite: bool) -> bool:
    """Whether the folder holds this search, which goes on.

    Raises:
        RunError: It holds another config's.
    """
    config = folder / "config.yaml"
    if overwrite or not config.is_file() or not (folder / BEST).is_file():
        return False
    known = yaml.safe_load(config.read_text(encoding="utf-8"))
    differing = differences(known, yaml.safe_load(experiment.to_yaml()))
    if differing:
        text = f"{folder}: holds the compression of another config, which differs in: {', '.join(differing)}"
        raise RunError(f"{text}\nstart over (--overwrite), or choose another folder (--output)")
    return True


def _refuse(experiment: Experiment) -> None:
    """Complain of what cannot be compressed by measure.

    Raises:
        ConfigError: It cannot.
    """
    kind = experiment.model.type
    if isinstance(experiment.model, StatisticConfig):
        raise experiment.placed(
            ConfigError([Problem(f"'{kind}' is counted and has no embedding tables", "model.type")])
        )
    if experiment.data.sampler is not None:
        text = f"'{kind}' compares users with items, and what compression costs is measured by the AUC of scores"
        raise experiment.placed(ConfigError([Problem(text, "model.type")]))
    if not any(task.type == "binary" for task in experiment.tasks):
        text = "no task is binary, and what compression costs is measured by AUC"
        raise experiment.placed(ConfigError([Problem(text, "model.tasks" if experiment.model.tasks else "model")]))
    if experiment.data.valid is None and experiment.data.test is None and experiment.data.split is None:
        text = "has neither 'valid' nor 'test', and what compression costs is measured on rows that were not learned"
        raise experiment.placed(ConfigError([Problem(text, "data")]))


class _Search:
    def __init__(
        self,
        experiment: Experiment,
        run: Path,
        folder: Path,
        target: float,
        data: Mapping[str, Any] | None,
        plugins: Sequence[Any],
        told: Callable[[Measured], None],
    ) -> None:
        self.experiment, self.run_dir, self.folder, self.target = experiment, run, folder, target
        self.data, self.plugins, self.told = data, plugins, told
        self.tried: list[Measured] = []

    def run(self, *, retrain: bool) -> Compressed:
        """Measure all ways, and write what was found."""
        write_best(self.folder, self._chosen(None), f"{self.experiment.name}: nothing was measured yet")
        if not (self.run_dir / "metrics.json").is_file():
            begun = (self.run_dir / "checkpoints").is_dir()
            logger.info("%s: %s", self.run_dir, "its training goes on" if begun else "is trained first")
            self._trained(self.experiment, self.run_dir)
        sources = open_sources(self.experiment, self.data)
        rows, scorer = self._held_out(sources), restore(self.experiment, self.run_dir)
        with scorer.averaged():
            bench = Bench(scorer, rows, self._learned(self.experiment, sources))
            plain = Candidate("fp32", {"tables": "fp32", "compress": []})
            before = bench.measure(self._with(plain.settings), plain)
            for candidate in finished():
                self._tell(bench.measure(self._with(candidate.settings), candidate))
                self._found(bench.bytes, before.auc)
        for candidate in learned(scorer.collection.plan, self.target) if retrain else ():
            self._retrain(candidate, sources, rows, bench)
            self._found(bench.bytes, before.auc)
        found = self._found(bench.bytes, before.auc)
        write_report(found, self.experiment)
        return found

    def _found(self, size: int, auc: Mapping[str, float]) -> Compressed:
        """Write the config of the best so far, and the table."""
        best = self._best(size)
        about = f"{self.experiment.name}: " + ("nothing makes it smaller" if best is None else best.candidate.name)
        path = write_best(self.folder, self._chosen(best), about)
        found = Compressed(self.folder, path, self.folder / REPORT, self.target, size, auc, list(self.tried), best)
        write_table(found)
        return found

    def _chosen(self, best: Measured | None) -> Experiment:
        """The config of a way; export measures it anew, by the same bound."""
        bound = {"export.max_auc_drop": self.experiment.export.max_auc_drop}
        return self._with({**({} if best is None else best.candidate.settings), **bound})

    def _tell(self, measured: Measured) -> None:
        same = next((m for m in self.tried if (m.bytes, m.auc) == (measured.bytes, measured.auc)), None)
        if same is not None and not measured.reason:
            measured = replace(measured, reason=f"gives the same as '{same.candidate.name}'")
        self.tried.append(measured)
        self.told(measured)

    def _best(self, before: int) -> Measured | None:
        """Of what costs little enough: the one that costs least of those that reach the target, else the smallest."""
        fine = [m for m in self.tried if not m.reason and m.bytes < before]
        reaching = [m for m in fine if before >= self.target * m.bytes]
        if reaching:
            return min(reaching, key=lambda m: m.worst_drop)
        return min(fine, key=lambda m: m.bytes, default=None)

    def _with(self, settings: Mapping[str, Any]) -> Experiment:
        """The experiment with some settings laid over it."""
        return load_experiment(self.experiment.resolved(), dict(settings), plugins=self.plugins)

    def _trained(self, experiment: Experiment, folder: Path) -> None:
        config = experiment.resolved()
        train(config, data=self.data, plugins=self.plugins, run_dir=folder, resume=True, export=False, progress=False)

    def _retrain(self, candidate: Candidate, sources: Sources, rows: Sequence[Batch], bench: Bench) -> None:
        """Train the model with other tables, and measure these against the first ones."""
        started = time.perf_counter()
        try:
            experiment = self._with(candidate.settings)
        except ConfigError as refused:
            self._tell(Measured(candidate, reason=refused.problems[0].message.splitlines()[0]))
            return
        folder = self.folder / "trials" / candidate.name.replace(" ", "-")
        self._trained(experiment, folder)
        scorer: Scorer = restore(experiment, folder)
        with scorer.averaged():
            mine = Bench(scorer, rows, self._learned(experiment, sources), bench.before)
            measured = mine.measure(experiment, candidate)
        self._tell(replace(measured, seconds=time.perf_counter() - started))

    def _held_out(self, sources: Sources) -> list[Batch]:
        part = sources.valid or sources.test
        if part is None:
            raise RunError("there are no rows that were not learned: give data.valid or data.test")
        kept, count = [], 0
        for batch in make_loader(self.experiment, part, training=False):
            kept.append(batch)
            count += batch.size
            if count >= self.experiment.export.gate_rows:
                break
        return kept

    def _learned(self, experiment: Experiment, sources: Sources) -> Iterator[Batch]:
        if sources.train is None:
            raise self.experiment.placed(ConfigError([NO_ROWS]))
        return iter(make_loader(experiment, sources.train, training=False))


def _log(measured: Measured) -> None:
    logger.info("%s: %s bytes, AUC drops by %.5f", measured.candidate.name, f"{measured.bytes:,}", measured.worst_drop)
