"""A worker: takes trials from the study and runs them until the search is over.

`python -m easyrec.tune.work FOLDER NUMBER SECONDS` is one of several. Its standard input is a pipe to the process that
started it: when that ends, the worker saves what it can and ends too.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from easyrec.errors import ConfigError
from easyrec.processors import wait_asleep
from easyrec.train.interrupt import Interrupted
from easyrec.tune.cache import read_cache, teachers
from easyrec.tune.search import Search, load_search
from easyrec.tune.study import Study
from easyrec.tune.trial import Hopeless, TimeUp, Trial
from feature_generator.errors import FeatureGeneratorError

logger = logging.getLogger("easyrec.tune")

HEAVY = 10_000_000
"""Weights of a trial that are given back before the next one begins."""
ABOUT = "study.json"
"""In the folder of a study: what its workers need beside the config."""


def work(
    search: Search,
    study: Study,
    *,
    data: Mapping[str, Any] | None = None,
    until: float,
    told: Callable[[], None] = lambda: None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Run trials until the search is over.

    Args:
        search: What is searched.
        study: Where trials are recorded.
        data: Rows by part that stand in for the config's.
        until: When the search ends, by `time.monotonic`.
        told: Called after every trial.
        stopped: Whether to take no more.

    Raises:
        Interrupted: A signal came; the running trial is released.
        ConfigError: Config and data do not fit, and no trial has given a result.
        TuneError: All trials have failed.
    """
    cached = read_cache(study.folder)
    while time.monotonic() < until and not stopped():
        asked = study.ask()
        if asked is None:
            return
        trial, values = asked
        with study.beating(trial):
            _run(search, study, trial, values, cached, data, until, stopped)
        told()


def _run(
    search: Search,
    study: Study,
    trial: Any,
    values: Mapping[str, Any],
    cached: Mapping[str, Any],
    data: Mapping[str, Any] | None,
    until: float,
    stopped: Callable[[], bool],
) -> None:
    """Run a trial and record what came of it."""
    pruned = len(search.objectives) == 1

    def report(value: float, evaluation: int) -> bool:
        if not pruned:
            return False
        trial.report(value, search.step(evaluation))
        return bool(trial.should_prune())

    started, shared = time.monotonic(), {**cached, **teachers(search, study.folder)}
    run = Trial(
        lambda more: search.experiment(values, {**shared, **more}),
        lambda more: search.experiment(values, more),
        study.folder / "trials" / f"{trial.number:05}",
        search.objectives,
        search.config.seeds,
        None if cached else data,
        until,
        search.config.budget.seconds_per_trial,
        report,
        stopped,
        rows=search.config.rows,
    )

    def took() -> None:
        trial.set_user_attr("seconds", round(time.monotonic() - started, 3))
        trial.set_user_attr("evaluations", run.evaluations)

    try:
        outcome = run.run()
    except Hopeless:
        took()
        if run.ended:
            trial.set_user_attr("reason", run.ended)
        study.prune(trial)
    except TimeUp as up:
        if time.monotonic() > until:
            study.release(trial)  # for a search that is given more time
        else:
            took()
            study.fail(trial, f"{up}, before the first evaluation")
    except (Interrupted, KeyboardInterrupt):
        study.release(trial)
        raise
    except FeatureGeneratorError as error:
        took()
        study.fail(trial, _told(error))
        if isinstance(error, ConfigError) and not any(row.state == "complete" for row in study.rows()):
            raise  # all others would fail of it too
    except (MemoryError, RuntimeError) as error:  # of torch, at a point that it cannot compute
        took()
        study.fail(trial, f"{type(error).__name__}: {error}")
    else:
        took()
        if run.cut:
            trial.set_user_attr("reason", run.cut)
        study.complete(trial, outcome)
    finally:
        if run.weights > HEAVY:
            gc.collect()  # its tables, which no later trial may need the room of


def _told(error: FeatureGeneratorError) -> str:
    """The error as a reason, whose first line is shown."""
    if not isinstance(error, ConfigError):
        return str(error)
    return "\n".join(f"{problem.where}: {problem.message}".removeprefix(": ") for problem in error.problems)


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, trainings say only what is wrong: a search tells of its trials itself."""
    loggers = [logging.getLogger(name) for name in ("easyrec.train", "easyrec.data", "easyrec.export")]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)


def main(words: list[str]) -> int:
    """Run a worker of the study in a folder."""
    folder, number, seconds = Path(words[0]), int(words[1]), float(words[2])
    until = time.monotonic() + seconds
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    threading.Thread(target=_end_with, args=(sys.stdin,), daemon=True).start()
    try:
        search = load_search(folder, plugins=about["plugins"], corners=False)
        with quiet(), Study(search, folder, number) as study:
            work(search, study, until=until)
    except Interrupted:
        return Interrupted.exit_code
    except FeatureGeneratorError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _end_with(pipe: Any) -> None:
    """Ask this process to end when the other end of the pipe is closed."""
    pipe.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    wait_asleep()
    sys.exit(main(sys.argv[1:]))
