"""`Study`: the trials of a search, recorded by Optuna in SQLite or PostgreSQL, whichever processes run them.

A trial is a number, a point and its outcome. What Optuna does not know stands in its attributes:

| attribute | |
|---|---|
| `worker` | whose it is; the worker holds the lock of this name while it lives |
| `again` | the number of the trial that was interrupted and is tried anew |
| `interrupted` | this one was: it counts for nothing |
| `kills` | how many processes have died of the point |
| `twice` | the number of a trial of the same point: this one was not run |
| `reason` | why it failed, or was cut short |
| `seconds`, `evaluations`, `outcome` | how long it took, how often it was evaluated, and all that it gave |
"""

from __future__ import annotations

import fcntl
import json
import logging
import secrets
import sqlite3
import threading
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from random import Random
from typing import IO, Any
from urllib.parse import urlsplit

from typing_extensions import Self

from easyrec.config.space import Parameter, Value, active, filled, num_points, points
from easyrec.config.tune import TPE, CmaEs, GaussianProcess, Grid, Halving, Hyperband, Median
from easyrec.durable import write_ahead
from easyrec.errors import MissingExtra, TuneError
from easyrec.tune.row import Row
from easyrec.tune.search import Search

logger = logging.getLogger("easyrec.tune")

REDRAWS = 20
"""Draws of points that have been tried before the rest of a finite space is listed."""
MOST_LISTED = 100_000
KILLS = 2
"""Processes that die of a trial until it has failed."""
FAILURES = 5
"""Trials that fail before any gives a result until the search is given up."""
BUSY_SECONDS = 60.0
"""How long a connection waits for other writers."""
BEAT_SECONDS, SILENCE_SECONDS = 60.0, 300.0
"""How often a worker that others cannot see says that it lives, and after what silence it is taken for dead."""


def optuna() -> Any:
    """The package.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import optuna as package  # noqa: PLC0415 (an extra)
    except ImportError:
        raise MissingExtra("optuna", "tune") from None
    package.logging.set_verbosity(package.logging.WARNING)
    return package


class Study:
    """The study of a search, and this process as one of its workers.

    Args:
        search: What is searched.
        folder: Folder of the study.
        worker: Number of this worker among those of its machine.

    Raises:
        MissingExtra: A package of the extra is missing.
        TuneError: The study is another config's, or its database cannot be reached.
    """

    def __init__(self, search: Search, folder: Path, worker: int = 0) -> None:
        self.search, self.folder, self.worker = search, folder, worker
        self.optuna = optuna()
        self.token = f"{worker}-{secrets.token_hex(6)}"
        self._lock: IO[str] | None = None
        self._points = num_points(search.parameters)
        if isinstance(search.config.sampler, CmaEs):
            _require("cmaes")
        with self._reached():
            self.storage = self._storage()
            self.study = self.optuna.create_study(
                storage=self.storage,
                study_name=self._name,
                directions=["maximize" if o.higher_is_better else "minimize" for o in search.objectives],
                pruner=self._pruner(),
                load_if_exists=True,
            )
        try:
            self._claim()
        except TuneError:
            _close(self.storage)
            raise

    # ------------------------------------------------------------------------------------- the database

    @property
    def _name(self) -> str:
        """A file holds one study; a database those of many, by their names."""
        chosen = self.search.config.study
        return "study" if chosen is None else chosen.name or self.search.name

    def _storage(self) -> Any:
        chosen = self.search.config.study
        rdb = self.optuna.storages.RDBStorage
        if chosen is None:
            return rdb(f"sqlite:///{self.folder / 'study.db'}", engine_kwargs={"creator": self._connected})
        _require("psycopg")
        return rdb("postgresql+psycopg://" + chosen.url.partition("://")[2], engine_kwargs={"pool_pre_ping": True})

    def _connected(self) -> sqlite3.Connection:
        """A connection to the file: others may write for as long as a slow disk takes, and a commit waits for no disk."""
        connection = sqlite3.connect(self.folder / "study.db", timeout=BUSY_SECONDS, check_same_thread=False)
        write_ahead(connection, BUSY_SECONDS)
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Inside, an error of the database is told without its password."""
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 (an extra)

        chosen = self.search.config.study
        try:
            yield
        except (SQLAlchemyError, self.optuna.exceptions.StorageInternalError) as error:
            cause = error.__cause__ if isinstance(error, self.optuna.exceptions.StorageInternalError) else error
            where = str(self.folder / "study.db") if chosen is None else _shown(chosen.url)
            raise TuneError(f"{where}: the study cannot be used ({type(cause or error).__name__})") from None

    def _claim(self) -> None:
        """Take a new study for this search; see that a study that is there is this search's.

        Raises:
            TuneError: It is another one's.
        """
        written = json.dumps(self.search.written(), sort_keys=True, default=str)
        known = self.study.user_attrs.get("config")
        if known is None:
            self.study.set_user_attr("config", written)
        elif known != written:
            differing = differences(json.loads(known), json.loads(written))
            listed = ", ".join(differing[:5]) + (f" and {len(differing) - 5} more" if len(differing) > 5 else "")
            raise TuneError(
                f"{self.folder}: holds a study of another config, which differs in: {listed}\n"
                "start over (--overwrite), choose another 'name', or name that folder in tune.warm_start"
            )

    def prepare(self) -> None:
        """Let a new study begin: with the points of a grid, and what earlier studies know."""
        config = self.search.config
        if self.study.user_attrs.get("prepared"):
            new = [name for name in config.warm_start if name not in self.study.user_attrs.get("warm", [])]
            if new:
                logger.warning("tune.warm_start: %s: an earlier study helps one that begins only", ", ".join(new))
            return
        if isinstance(config.sampler, Grid):
            listed = list(islice(points(self.search.parameters), MOST_LISTED + 1))
            if len(listed) > MOST_LISTED:
                raise TuneError(f"the grid has more than {MOST_LISTED:,} points: take another sampler, or wider steps")
            Random(config.seed).shuffle(listed)  # noqa: S311 (no secret); a part of the grid is then spread over it
            for point in listed[: self.search.trials]:
                self.study.enqueue_trial(point, skip_if_exists=True)
        for folder in config.warm_start:
            self._warm(Path(folder))
        self.study.set_user_attr("warm", config.warm_start)
        self.study.set_user_attr("prepared", True)

    def _warm(self, folder: Path) -> None:
        """Take over the trials of an earlier study that fit, and try its best point first."""
        file = folder / "study.db"
        if not file.is_file():
            raise TuneError(f"tune.warm_start: {folder} holds no study")
        storage = self.optuna.storages.RDBStorage(f"sqlite:///{file}")
        try:
            names = self.optuna.get_all_study_names(storage)
            found = [t for n in names for t in self.optuna.load_study(study_name=n, storage=storage).trials]
        finally:
            _close(storage)
        complete = self.optuna.trial.TrialState.COMPLETE
        taken = []
        for trial in found:
            outcome = trial.user_attrs.get("outcome", {})
            if trial.state != complete or not all(o.name in outcome for o in self.search.objectives):
                continue
            wanted = active(self.search.parameters, trial.params)
            if {p.name for p in wanted} != set(trial.params) or not all(p.holds(trial.params[p.name]) for p in wanted):
                continue
            taken.append((trial.params, [outcome[o.name] for o in self.search.objectives]))
            self.study.add_trial(
                self.optuna.trial.create_trial(
                    params=trial.params,
                    distributions={p.name: self._distribution(p) for p in wanted},
                    values=taken[-1][1],
                    user_attrs={"warm": str(folder)},
                )
            )
        if not taken:
            raise TuneError(f"tune.warm_start: no trial of {folder} has a point of this space and its objectives")
        first = self.search.objectives[0]
        best = (max if first.higher_is_better else min)(taken, key=lambda pair: pair[1][0])
        self.study.enqueue_trial(best[0], skip_if_exists=False)

    def _distribution(self, parameter: Parameter) -> Any:
        kinds = self.optuna.distributions
        if parameter.kind == "choice":
            return kinds.CategoricalDistribution(parameter.labels)
        if parameter.kind == "int":
            step = int(parameter.step or 1)
            return kinds.IntDistribution(int(parameter.low), int(parameter.high_end), log=parameter.log, step=step)
        return kinds.FloatDistribution(
            float(parameter.low), float(parameter.high_end), log=parameter.log, step=parameter.step
        )

    # ----------------------------------------------------------------------------------------- trials

    def ask(self) -> tuple[Any, dict[str, Value]] | None:
        """The next trial and its point; None where the search is over.

        Raises:
            TuneError: All trials so far have failed.
        """
        with self._alone(), self._reached():
            for attempt in range(REDRAWS + 1):
                trials = self.study.get_trials(deepcopy=False)
                if self._over(trials):
                    return None
                if attempt == REDRAWS and not self._offer_untried(trials):
                    return None
                self.study.sampler = self._sampler(len(trials))
                trial = self.study.ask()
                trial.set_user_attr("worker", self.token)
                values = self._draw(trial)
                others = self._of_same_point(trial, values)
                if not others:
                    return trial, values
                trial.set_user_attr("twice", others[0])
                self.study.tell(trial, state=self.optuna.trial.TrialState.FAIL)
        return None

    def _draw(self, trial: Any) -> dict[str, Value]:
        values: dict[str, Value] = {}

        def draw(parameter: Parameter) -> Value:
            name, low, high = parameter.name, parameter.low, parameter.high_end
            if parameter.kind == "choice":
                values[name] = trial.suggest_categorical(name, parameter.labels)
            elif parameter.kind == "int":
                step = int(parameter.step or 1)
                values[name] = trial.suggest_int(name, int(low), int(high), log=parameter.log, step=step)
            else:
                values[name] = trial.suggest_float(
                    name, float(low), float(high), log=parameter.log, step=parameter.step
                )
            return values[name]

        filled(self.search.document, self.search.parameters, draw)
        return values

    def _of_same_point(self, trial: Any, values: Mapping[str, Value]) -> list[int]:
        """Other trials of the point. Of two that begin at one moment, each may see the other: both are drawn anew."""
        return [
            other.number
            for other in self.study.get_trials(deepcopy=False)
            if other.number != trial.number and other.params == values and _counts(other) and not _waits(other)
        ]

    def _over(self, trials: Sequence[Any]) -> bool:
        counted = [t for t in trials if _counts(t)]
        waiting = [t for t in counted if _waits(t)]
        begun = [t for t in counted if not _waits(t)]
        ended = [t for t in begun if t.state.is_finished()]
        if len(ended) >= FAILURES and all(t.state.name == "FAIL" for t in ended):
            last = max(ended, key=lambda t: t.number)
            reason = last.user_attrs.get("reason", "no reason is known")
            raise TuneError(f"all of the first {len(ended)} trials have failed; the last one: {reason}")
        if self.search.trials is not None and len(begun) >= self.search.trials:
            return True
        if waiting:
            return False
        if isinstance(self.search.config.sampler, Grid):
            return True
        return self._points is not None and len({_key(t.params) for t in begun}) >= self._points

    def _offer_untried(self, trials: Sequence[Any]) -> bool:
        """Put one point that has not been tried next; False where there is none left, or no end of them."""
        if self._points is None:
            return True
        tried = {_key(t.params) for t in trials if _counts(t)}
        left = [p for p in islice(points(self.search.parameters), MOST_LISTED) if _key(p) not in tried]
        if left:
            drawn = Random(f"{self.search.config.seed}-{len(trials)}").choice(left)  # noqa: S311 (no secret)
            self.study.enqueue_trial(drawn)
        return bool(left)

    def complete(self, trial: Any, outcome: Mapping[str, float]) -> None:
        """The trial has a result."""
        trial.set_user_attr("outcome", dict(outcome))
        self._tell(trial, [outcome[o.name] for o in self.search.objectives])

    def prune(self, trial: Any) -> None:
        """The trial has been ended, as it would not win."""
        self._tell(trial, None, self.optuna.trial.TrialState.PRUNED)

    def fail(self, trial: Any, reason: str) -> None:
        """The trial gave no result."""
        trial.set_user_attr("reason", reason)
        self._tell(trial, None, self.optuna.trial.TrialState.FAIL)

    def _tell(self, trial: Any, values: Sequence[float] | None, state: Any = None) -> None:
        with self._reached():
            self.study.tell(trial, values, state=state, skip_if_finished=True)

    def release(self, trial: Any) -> None:
        """The trial has been interrupted: it is tried anew."""
        with self._reached():
            frozen = next(t for t in self.study.get_trials(deepcopy=False) if t.number == trial.number)
            self._release(frozen, "interrupted", frozen.user_attrs.get("kills", 0))

    def _release(self, trial: Any, reason: str, kills: int) -> None:
        """End a trial that counts for nothing, and let its point wait; one that kills its process again and again fails."""
        for name, value in {"interrupted": kills < KILLS, "reason": reason}.items():
            self.storage.set_trial_user_attr(trial._trial_id, name, value)
        self.study.tell(trial.number, state=self.optuna.trial.TrialState.FAIL)
        if kills < KILLS:
            self.study.enqueue_trial(trial.params, user_attrs={"again": trial.number, "kills": kills})

    def sweep(self) -> list[int]:
        """Release the trials of workers that have died; their numbers."""
        found = []
        with self._alone(), self._reached():
            for trial in self.study.get_trials(deepcopy=False):
                if trial.state == self.optuna.trial.TrialState.RUNNING and self._dead(trial):
                    kills = trial.user_attrs.get("kills", 0) + 1
                    try:
                        self._release(trial, "its process was killed" + " twice" * (kills == KILLS), kills)
                    except (ValueError, self.optuna.exceptions.UpdateFinishedTrialError):
                        continue  # another machine was first
                    found.append(trial.number)
        return found

    def _dead(self, trial: Any) -> bool:
        lock = self.folder / "workers" / str(trial.user_attrs.get("worker", "-"))
        if lock.exists():
            with lock.open("a", encoding="utf-8") as file:
                return _locked(file)
        heard = trial.user_attrs.get("beat")
        if heard is None:
            started = trial.datetime_start
            heard = 0.0 if started is None else started.timestamp()
        return self.search.config.study is None or time.time() - float(heard) > SILENCE_SECONDS

    # ------------------------------------------------------------------------------------ what it holds

    def rows(self) -> list[Row]:
        """The trials that were run, in order."""
        with self._reached():
            trials = self.study.get_trials(deepcopy=False)
        return [Row.of(t, self.search.objectives[0]) for t in trials if _ran(t)]

    def best(self) -> list[Row]:
        """The best trial; of several objectives those that no other beats in all of them, by the first one."""
        first = self.search.objectives[0]
        rows = [row for row in self.rows() if row.state == "complete"]
        signs = [1.0 if o.higher_is_better else -1.0 for o in self.search.objectives]
        told = [[s * row.outcome[o.name] for s, o in zip(signs, self.search.objectives, strict=True)] for row in rows]
        front = [
            row
            for row, mine in zip(rows, told, strict=True)
            if not any(all(a >= b for a, b in zip(other, mine, strict=True)) and other != mine for other in told)
        ]
        front.sort(key=lambda row: row.outcome[first.name], reverse=first.higher_is_better)
        return front if len(self.search.objectives) > 1 else front[:1]

    @property
    def spent(self) -> float:
        """Seconds that the trials took, side by side."""
        return sum(row.seconds for row in self.rows()) / self.search.config.workers

    def importance(self) -> dict[str, float]:
        """Share of each parameter in how the first objective varies, by the trials that gave a result."""
        complete = [t for t in self.study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
        if len(complete) < 2 or len({tuple(t.values) for t in complete}) < 2:
            return {}
        evaluator = self.optuna.importance.PedAnovaImportanceEvaluator
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental
            try:
                found = self.optuna.importance.get_param_importances(
                    self.study, evaluator=evaluator(), target=lambda t: t.values[0], normalize=True
                )
            except (ValueError, RuntimeError):  # no parameter takes part in all trials, or nothing varies
                return {}
        return {name: float(share) for name, share in found.items()}

    # ------------------------------------------------------------------------------------- this worker

    def __enter__(self) -> Self:
        workers = self.folder / "workers"
        workers.mkdir(parents=True, exist_ok=True)
        self._lock = (workers / self.token).open("a", encoding="utf-8")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            (self.folder / "workers" / self.token).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None
        _close(self.storage)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Inside, no other worker of this folder draws or releases a trial."""
        with (self.folder / ".drawing").open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def beating(self, trial: Any) -> Iterator[None]:
        """Inside, a study that other machines share hears that the trial's worker lives."""
        if self.search.config.study is None:
            yield
            return
        over = threading.Event()

        def beat() -> None:
            while True:
                self.storage.set_trial_user_attr(trial._trial_id, "beat", time.time())
                if over.wait(BEAT_SECONDS):
                    return

        thread = threading.Thread(target=beat, name="easyrec-tune-beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    # ------------------------------------------------------------------------------ how points are drawn

    def _sampler(self, number: int) -> Any:
        """The sampler of the next trial. Its seed goes by the number: a search that goes on draws as one that never stopped."""
        samplers, chosen = self.optuna.samplers, self.search.config.sampler
        seed = zlib.crc32(f"{self.search.config.seed}-{number}-{self.worker}".encode())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)
            if isinstance(chosen, TPE):
                return samplers.TPESampler(
                    n_startup_trials=chosen.startup,
                    multivariate=True,
                    group=True,
                    seed=seed,
                    constant_liar=self.search.config.workers > 1,
                )
            if isinstance(chosen, GaussianProcess):
                return samplers.GPSampler(n_startup_trials=chosen.startup, seed=seed, warn_independent_sampling=False)
            if isinstance(chosen, CmaEs):
                return samplers.CmaEsSampler(
                    n_startup_trials=chosen.startup, seed=seed, warn_independent_sampling=False
                )
        return samplers.RandomSampler(seed=seed)  # of a grid too, whose points are all waiting

    def _pruner(self) -> Any:
        pruners, chosen = self.optuna.pruners, self.search.config.pruned
        if len(self.search.objectives) > 1:
            return pruners.NopPruner()
        if isinstance(chosen, Median):
            return pruners.MedianPruner(n_startup_trials=chosen.startup, n_warmup_steps=chosen.warmup)
        if isinstance(chosen, Hyperband):
            return pruners.HyperbandPruner(min_resource=chosen.least, reduction_factor=chosen.reduction)
        if isinstance(chosen, Halving):
            return pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=chosen.reduction)
        return pruners.NopPruner()


def differences(known: Any, written: Any, path: str = "") -> list[str]:
    """Dotted paths of what differs between two configs."""
    if isinstance(known, dict) and isinstance(written, dict):
        keys = dict.fromkeys([*known, *written])
        return [
            found
            for key in keys
            for found in differences(known.get(key), written.get(key), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(known, list) and isinstance(written, list) and len(known) == len(written):
        pairs = enumerate(zip(known, written, strict=True))
        return [found for i, (a, b) in pairs for found in differences(a, b, f"{path}[{i}]")]
    return [] if known == written else [path]


def _require(package: str) -> None:
    try:
        __import__(package)
    except ImportError:
        raise MissingExtra(package, "tune") from None


def _shown(url: str) -> str:
    """The address of a database without user and password."""
    parts = urlsplit(url)
    return f"postgresql://{parts.hostname or ''}{parts.path}"


def _locked(file: IO[str]) -> bool:
    """Whether the lock is free: nobody lives who holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _close(storage: Any) -> None:
    storage.remove_session()
    storage.engine.dispose()


def _key(point: Mapping[str, Any]) -> str:
    return json.dumps(point, sort_keys=True)


def _waits(trial: Any) -> bool:
    return bool(trial.state.name == "WAITING")


def _counts(trial: Any) -> bool:
    """Whether a trial is one of the search: neither interrupted, nor one of a point that another one has, nor an earlier study's."""
    return not {"twice", "warm"} & set(trial.user_attrs) and not trial.user_attrs.get("interrupted")


def _ran(trial: Any) -> bool:
    return not _waits(trial) and not {"twice", "warm"} & set(trial.user_attrs)
