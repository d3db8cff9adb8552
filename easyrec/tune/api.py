"""`easyrec.tune`: search the spaces of a config."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from easyrec.errors import TuneError
from easyrec.processors import num_threads
from easyrec.train.interrupt import Interrupted, StopRequest
from easyrec.train.run_folder import RunFolder, run_path
from easyrec.tune.cache import make_cache, obstacle, refuse_parts
from easyrec.tune.outputs import BEST, REPORT, TABLE, write_best, write_report, write_trials
from easyrec.tune.progress import Progress
from easyrec.tune.search import Search, load_search
from easyrec.tune.study import Study
from easyrec.tune.tuned import Tuned
from easyrec.tune.work import ABOUT, quiet, work
from feature_generator.fitting.learned import carry

logger = logging.getLogger("easyrec.tune")

POLL_SECONDS = 0.5
"""How often the process that leads several workers looks at the study."""
PATIENCE_SECONDS = 60.0
"""How long it waits for them to end."""


def tune(
    config: str | os.PathLike[str] | Mapping[str, Any],
    *,
    data: Mapping[str, Any] | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    plugins: Sequence[str | os.PathLike[str]] = (),
    run_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Tuned:
    """Search the spaces of a config, or go on with the search: at any moment it may be stopped, and called again.

    Args:
        config: A YAML with spaces, its content as a dict, or the folder of a study.
        data: Rows by part (`train`, `valid`) that stand in for the config's, for one worker.
        overrides: Settings laid over the config; one at the place of a space fixes it.
        plugins: Files and packages with more models, losses, features, ..., see `feature_generator.config.plug`.
        run_dir: Folder of the study; default `runs/<name>-tune`.
        overwrite: Start over, and remove what is in the folder.
        progress: Whether to draw a progress bar; default: whether stderr is a terminal.

    Returns:
        The trials, and where the config of the best one is.

    Raises:
        ConfigError: A space, one of its corners, or the `tune` section cannot work; or a trial, for all points alike.
        MissingExtra: The extra `tune` is not installed.
        TuneError: The study is another config's, cannot be reached, or all of its trials have failed.
        Interrupted: A signal came; `best.yaml` and the table are there, and the same call goes on.
    """
    search = load_search(config, overrides, plugins=plugins, given=list(data or {}))
    folder = _folder(config, search, run_dir)
    _refuse_others(folder, overwrite=overwrite)
    if (overwrite or not (folder / ABOUT).is_file()) and not obstacle(search):
        refuse_parts(search.first, data)
    with (
        RunFolder(folder, resume=not overwrite, overwrite=overwrite) as run,
        quiet(),
        StopRequest() as stop,
        Study(search, folder) as study,
        Progress(search, study, bar=progress) as shown,
    ):
        _describe(run, search, plugins)
        study.prepare()
        for number in study.sweep():
            logger.info("trial %d was interrupted and is tried anew", number)
        data = None if make_cache(search, folder, data) else data
        stopped = _searched(search, study, data, shown, stop)
        first = search.objectives[0].higher_is_better
        names = tuple(o.name for o in search.objectives)
        tuned = Tuned(folder, folder / BEST, folder / REPORT, names, study.rows(), study.best(), first)
    if stopped:
        raise Interrupted(_stopped(tuned))
    if not tuned.best:
        raise TuneError(f"{folder}: no trial gave a result; {TABLE} says why\n{_longer(search)}")
    return tuned


def _searched(search: Search, study: Study, data: Mapping[str, Any] | None, shown: Progress, stop: StopRequest) -> bool:
    """Run trials until the search is over, or a signal came (True); whatever ends it, the folder's files tell of it."""

    def told() -> None:
        write_best(search, study)
        write_trials(search, study)
        shown.update()

    until = _until(search, study)
    try:
        shown.begin()
        told()
        if search.config.workers > 1:
            _lead(search, study, until, told, stop)
        else:
            work(search, study, data=data, until=until, told=told, stopped=lambda: stop.name is not None)
    except Interrupted:  # of a trial
        return True
    finally:
        told()
        write_report(search, study)
    return stop.name is not None


def _folder(config: Any, search: Search, run_dir: str | os.PathLike[str] | None) -> Path:
    if run_dir is not None:
        return Path(run_dir)
    if not isinstance(config, Mapping) and Path(config).is_dir():
        return Path(config)
    return run_path(f"{search.name}-tune")


def _refuse_others(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something, and no study.

    Raises:
        TuneError: It does.
    """
    if not folder.is_dir() or (folder / ABOUT).is_file():
        return
    found = sorted(entry.name for entry in folder.iterdir() if entry.name != ".lock")
    if found:
        hint = "no study is laid over it" if overwrite else "choose another folder (--run-dir)"
        raise TuneError(f"{folder}: holds no study, but {', '.join(found[:3])}: {hint}")


def _describe(run: RunFolder, search: Search, plugins: Sequence[str | os.PathLike[str]]) -> None:
    """Write what is searched, for workers and for people; `${ENV}` as written."""
    run.write_text("config.yaml", yaml.safe_dump(search.resolved(), sort_keys=False, allow_unicode=True, width=120))
    carry(search.first.features, run.path / "config.yaml")
    run.write_text(ABOUT, json.dumps({"plugins": [os.fspath(plugin) for plugin in plugins]}) + "\n")


def _until(search: Search, study: Study) -> float:
    """When the search ends, by `time.monotonic`."""
    minutes = search.config.budget.minutes
    return math.inf if minutes is None else time.monotonic() + max(60 * minutes - study.spent, 0.0)


def _stopped(tuned: Tuned) -> str:
    ended = sum(row.state in ("complete", "pruned") for row in tuned.rows)
    best = f", of which {tuned.best[0].number} is the best" if tuned.best else ""
    return f"stopped after {ended} trial{'s' * (ended != 1)}{best}; its config is {tuned.config}. To go on: the same command"


def _longer(search: Search) -> str:
    budget = search.config.budget
    if budget.minutes or budget.seconds_per_trial:
        return "give trials more time: tune.budget.minutes, tune.budget.seconds_per_trial, or a shorter evaluate_every"
    return "look at the reasons, and at the spaces that lead there"


# --------------------------------------------------------------------------------------- several workers


def _lead(search: Search, study: Study, until: float, told: Callable[[], None], stop: StopRequest) -> None:
    """Start the workers, follow the study, and see that all have ended.

    Raises:
        TuneError: A worker cannot go on.
    """
    folder = study.folder
    workers = {number: _start(search, folder, number, until) for number in range(search.config.workers)}
    spare, ended = 2 * len(workers), 0
    try:
        while workers and stop.name is None:
            time.sleep(POLL_SECONDS)
            finished = sum(row.state != "running" for row in study.rows())
            if finished != ended:
                ended = finished
                told()
            for number, worker in list(workers.items()):
                code = worker.poll()
                if code is None:
                    continue
                del workers[number]
                if code < 0 and spare:  # killed, by a lack of memory as a rule
                    spare -= 1
                    study.sweep()
                    workers[number] = _start(search, folder, number, until)
                elif code:
                    raise TuneError(_log(folder, number).read_text(encoding="utf-8").strip() or f"exit code {code}")
    finally:
        for worker in workers.values():
            worker.terminate()
        for worker in workers.values():
            try:
                worker.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
            assert worker.stdin is not None
            worker.stdin.close()
        study.sweep()


def _start(search: Search, folder: Path, number: int, until: float) -> subprocess.Popen[bytes]:
    left = 1e9 if until == math.inf else until - time.monotonic()
    threads = max(num_threads() // search.config.workers, 1)
    command = [sys.executable, "-m", "easyrec.tune.work", str(folder), str(number), str(left)]
    _log(folder, number).parent.mkdir(exist_ok=True)
    with _log(folder, number).open("wb") as log:
        return subprocess.Popen(  # noqa: S603 (our own module; a session of its own: the leader passes signals on)
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            start_new_session=True,
        )


def _log(folder: Path, number: int) -> Path:
    return folder / "workers" / f"{number}.log"
