"""The folder of a run: who may write into it, and its small files.

```
runs/<name>/
    config.yaml       the resolved config, `${ENV}` as written
    config.fitted/    what features with `fit` had learned
    plugins.json      the plugins that the config needs, where there are any
    metrics.jsonl     one line per evaluation; the same bytes however often training was interrupted
    progress.jsonl    one line per `log_every` steps: loss, rates, and the clock's numbers
    metrics.json      final metrics
    calibration.json  fitted calibration, where one is configured
    report.json       what report.html shows beside these
    checkpoints/ tensorboard/ bundle/ report.html
```
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from typing_extensions import Self

from easyrec.config import Experiment
from easyrec.config.experiment import PLUGINS
from easyrec.durable import write_text
from easyrec.errors import RunError
from easyrec.finite import finite
from feature_generator.fitting.learned import carry

METRICS = "metrics.jsonl"
PROGRESS = "progress.jsonl"
CALIBRATION = "calibration.json"
_NAME = re.compile(r"^[\w\-.+=@ ]+$")


def run_path(name: str, runs: str | os.PathLike[str] = "runs") -> Path:
    """Folder of the run `name`.

    Raises:
        RunError: The name cannot be a folder's.
    """
    if not _NAME.match(name) or name in (".", ".."):
        raise RunError(f"'{name}' cannot be the name of a run: use letters, digits and any of _ - . + = @")
    return Path(runs) / name


class RunFolder:
    """A run's folder; while entered it is locked against other processes. Nothing is changed before.

    Args:
        path: The folder.
        resume: Go on with a run that is there; without one a new run starts.
        overwrite: Remove a run that is there.

    Raises:
        RunError: The folder holds something and neither was asked for, or it is no run's.
    """

    def __init__(self, path: Path, *, resume: bool = False, overwrite: bool = False) -> None:
        self.path, self.resume, self.overwrite = path, resume, overwrite
        self._lock: IO[str] | None = None
        if resume and overwrite:
            raise RunError("'resume' and 'overwrite' exclude each other")
        found = sorted(entry.name for entry in path.iterdir() if entry.name != ".lock") if path.is_dir() else []
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file, not a folder")
        if found and "config.yaml" not in found:
            raise RunError(f"{path} exists and holds no run, only {', '.join(found[:3])}: choose another 'name'")
        if found and not (resume or overwrite):
            raise RunError(
                f"{path} exists: go on with it (--resume), start over (--overwrite), or choose another 'name'"
            )

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.path)
        for entry in self.path.iterdir() if self.overwrite else ():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != ".lock":
                entry.unlink()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def describe(self, experiment: Experiment) -> None:
        """Write what is trained here: the config, what features have learned, and which plugins they need."""
        self.write_text("config.yaml", experiment.to_yaml())
        carry(experiment.features, self.path / "config.yaml")
        if plugins := experiment.plugins():
            self.write_json(PLUGINS, plugins)

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    def write_text(self, name: str, text: str) -> None:
        """Write a file, all of it or nothing."""
        write_text(self.path / name, text)

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file, all of it or nothing; NaN and infinities become null."""
        self.write_text(name, json.dumps(finite(value), indent=2, ensure_ascii=False) + "\n")

    def append(self, name: str, record: Mapping[str, Any]) -> None:
        """Add a line of JSON to a file."""
        line = json.dumps(finite(record), ensure_ascii=False) + "\n"
        try:
            with (self.path / name).open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise RunError(f"cannot write {self.path / name}: {error.strerror or error}") from error

    def records(self, name: str) -> list[dict[str, Any]]:
        """The lines of a file of JSON lines."""
        path = self.path / name
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def size(self, name: str) -> int:
        """Bytes of a file, 0 where there is none."""
        path = self.path / name
        return path.stat().st_size if path.exists() else 0

    def truncate(self, name: str, size: int) -> None:
        """Cut a file that was appended to back to `size` bytes.

        Raises:
            RunError: It is shorter already.
        """
        path = self.path / name
        if not path.exists() and size == 0:
            return
        if self.size(name) < size:
            raise RunError(f"{path}: is shorter than the checkpoint says: it had {size:,} bytes")
        os.truncate(path, size)


class FollowedFolder(RunFolder):
    """A run's folder as workers see it that leave the writing to the first one."""

    def __init__(self, path: Path, *, resume: bool = False) -> None:
        self.path, self.resume, self.overwrite = path, resume, False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave all as it is."""

    def describe(self, experiment: Experiment) -> None:
        """Leave it to the first."""

    def write_text(self, name: str, text: str) -> None:
        """Leave it to the first."""

    def append(self, name: str, record: Mapping[str, Any]) -> None:
        """Leave it to the first."""

    def truncate(self, name: str, size: int) -> None:
        """Leave it to the first."""


def read_json(path: Path) -> Any | None:
    """A JSON file's content, None where there is none.

    Raises:
        RunError: It is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: damaged: {error}") from None


def _locked(path: Path) -> IO[str]:
    file = (path / ".lock").open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise RunError(f"{path}: another process trains in this folder") from None
    return file
