"""What was paid, on disk as it is paid: a run that is killed leaves it to the next one's report."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path

from easyrec.errors import RunError
from easyrec.llm.client import Usage


class Spending:
    """A line for each answer: what its run has paid until then.

    Args:
        path: The file. It is there from the first answer on until a report says what was paid.

    Attributes:
        before: What earlier runs paid which wrote no report.

    Raises:
        RunError: The file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.before = path, _paid(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror or error}") from None
        self._run = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._told = Usage()

    def note(self, paid: Usage) -> None:
        """Keep what this run has paid by now. A line is one stroke: what was written is there though the run be killed."""
        if paid != self._told:
            self._told = paid
            os.write(self._file, f"{json.dumps({'run': self._run, **asdict(paid)})}\n".encode())

    def close(self, *, reported: bool) -> None:
        """Let go of the file, which is needed no more where there is a report of it."""
        os.close(self._file)
        if reported or not self.path.stat().st_size:
            self.path.unlink(missing_ok=True)


def _paid(path: Path) -> Usage:
    """The last lines of all runs together; a line that broke off says nothing."""
    if not path.exists():
        return Usage()
    names = [field.name for field in fields(Usage)]
    runs: dict[str, Usage] = {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):
                told = json.loads(line)
                runs[told["run"]] = Usage(**{name: int(told[name]) for name in names})
    return sum(runs.values(), Usage())
