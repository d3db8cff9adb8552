"""What is known of each version of a model: a folder with a manifest for each step that was done, and who was rolled back.

state/versions/000012/plan.json      which samples it learns, and from which version it starts
                      rows.parquet   these; `replay.parquet` older ones, `held.parquet` those that it is measured on
                      run/           the run
                      train.json gate.json publish.json
state/rollbacks.json                 what was rolled back, and must not be served again
state/history.jsonl                  how each version ended; its folder goes after a while
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from easyrec.durable import sync, write_text
from easyrec.errors import RunError

STEPS = ("plan", "train", "gate", "publish")
HISTORY_BYTES = 1 << 20
"""Of the history, the newest that is read."""
Manifest = dict[str, Any]


class Versions:
    """The versions of a loop.

    Args:
        state: The loop's folder.
    """

    def __init__(self, state: Path) -> None:
        self.state, self.folder = state, state / "versions"

    def __iter__(self) -> Iterator[int]:
        """Their numbers, ascending."""
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return iter(sorted(int(path.name) for path in found if re.fullmatch(r"\d{6,}", path.name)))

    def at(self, number: int) -> Path:
        """The folder of a version."""
        return self.folder / f"{number:06d}"

    def run(self, number: int) -> Path:
        """The run of a version."""
        return self.at(number) / "run"

    def read(self, number: int, step: str) -> Manifest | None:
        """The manifest of a step that was done; None where it was not."""
        return read_manifest(self.at(number) / f"{step}.json")

    def write(self, number: int, step: str, manifest: Mapping[str, Any]) -> None:
        """Say that a step was done, and how."""
        self.at(number).mkdir(parents=True, exist_ok=True)
        write_manifest(
            self.at(number) / f"{step}.json", {"version": number, "step": step, "at": time.time(), **manifest}
        )

    # ---------------------------------------------------------------------------------------------- which

    @property
    def newest(self) -> int | None:
        """The version that was planned last."""
        return max((number for number in self if self.read(number, "plan")), default=None)

    @property
    def good(self) -> int | None:
        """The newest version that passed the gate and was not rolled back: what training starts from."""
        return max((number for number in self if self.passed(number) and not self.is_rolled_back(number)), default=None)

    @property
    def served(self) -> int | None:
        """The newest version that was published and not rolled back."""
        found = (number for number in self if self.read(number, "publish") and not self.is_rolled_back(number))
        return max(found, default=None)

    def passed(self, number: int) -> bool:
        """Whether a version may be served, as far as the gate goes."""
        return bool((self.read(number, "gate") or {}).get("passed"))

    def is_over(self, number: int) -> bool:
        """Whether nothing is left to do for a version."""
        gate = self.read(number, "gate")
        refused = gate is not None and not gate["passed"]
        return refused or self.is_rolled_back(number) or self.read(number, "publish") is not None

    @property
    def begun(self) -> int | None:
        """The version that is being made."""
        newest = self.newest
        return None if newest is None or self.is_over(newest) else newest

    # ------------------------------------------------------------------------------------------- rollbacks

    @property
    def rollbacks(self) -> list[Manifest]:
        """What was rolled back, the oldest first."""
        found = read_manifest(self.state / "rollbacks.json")
        return [] if found is None else list(found["rollbacks"])

    def is_rolled_back(self, number: int) -> bool:
        """Whether a version must not be served again."""
        return any(one["to"] < number <= one["last"] for one in self.rollbacks)

    def roll_back(self, to: int, why: str, *, relearn: bool) -> Manifest:
        """Note that what came after a version must not be served any more, nor what is being made of it."""
        last = max(self, default=to)
        made = {"to": to, "last": last, "why": why, "relearn": relearn, "at": time.time()}
        write_manifest(self.state / "rollbacks.json", {"rollbacks": [*self.rollbacks, made]})
        return made

    # --------------------------------------------------------------------------------------------- history

    def tell(self, record: Mapping[str, Any]) -> None:
        """Add to the history how a version ended, and how many had ended before, of which the lines may be read no more."""
        known, history = (record["version"], record["result"]), self.history
        same = next((one for one in history if (one["version"], one["result"]) == known), None)
        if same is not None and "ended" in same:
            ended = same["ended"]
        else:
            ended = self.ended(history)
            ended[record["result"]] = ended.get(record["result"], 0) + (same is None)
        line = json.dumps({"at": time.time(), **record, "ended": ended}) + "\n"
        with (self.state / "history.jsonl").open("ab+") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a line that a kill cut off must not take this one with it
                    line = "\n" + line
            file.write(line.encode())

    @staticmethod
    def ended(history: Sequence[Manifest]) -> dict[str, int]:
        """How many versions have ended in which way since the loop began.

        Args:
            history: How the last ones ended.
        """
        counts = Counter(one["result"] for one in history)
        for one in history:
            for result, count in one.get("ended", {}).items():
                counts[result] = max(counts[result], int(count))
        return dict(counts)

    @property
    def history(self) -> list[Manifest]:
        """How the last versions ended, the oldest first, each once."""
        path = self.state / "history.jsonl"
        if not path.exists():
            return []
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - HISTORY_BYTES))
            lines = file.read().splitlines()[1 if size > HISTORY_BYTES else 0 :]
        found: dict[tuple[int, str], Manifest] = {}
        for line in lines:
            try:
                record = json.loads(line)
                found[record["version"], record["result"]] = record
            except (ValueError, KeyError, TypeError):  # noqa: PERF203 (a line that a kill cut off)
                continue
        return list(found.values())

    def forget(self, keep: int) -> None:
        """Remove the folders of versions that no rollback, training or measure needs."""
        numbers = list(self)
        served, good, newest = self.served, self.good, self.newest
        kept = set(numbers[-keep:]) | {number for number in (served, good, newest) if number is not None}
        fine = [n for n in numbers if self.read(n, "publish") and not self.is_rolled_back(n)]
        kept |= set(fine[-keep:])
        for number in set(numbers) - kept:
            gone = self.folder / f".{self.at(number).name}.gone"
            shutil.rmtree(gone, ignore_errors=True)
            self.at(number).rename(gone)
        for path in self.folder.glob(".*.gone"):
            shutil.rmtree(path, ignore_errors=True)

    @cached_property
    def publishing(self) -> Path:
        """The lock under which what is served changes."""
        return self.state / "publish.lock"


def read_manifest(path: Path) -> Manifest | None:
    """A manifest; None where there is none.

    Raises:
        RunError: It is damaged.
    """
    try:
        found: Manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: damaged: {error}") from None
    return found


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest, all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(manifest, indent=1, default=str) + "\n")


def link_tree(source: Path, target: Path) -> None:
    """A copy of a folder that takes no room where the file system has links; it appears whole or not at all."""
    partial = target.with_name(f".{target.name}.writing")
    shutil.rmtree(partial, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(source, partial, copy_function=os.link)
    except (OSError, shutil.Error):
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(source, partial)
    partial.rename(target)
    sync(target.parent)


@contextmanager
def held(path: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Inside, no other process holds a lock.

    Raises:
        RunError: One does, and it is not to be waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            file.seek(0)
            by = file.read(100).strip()
            raise RunError(f"{path.parent}: {what} is done by another process{f' ({by})' if by else ''}") from None
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        yield
