"""The checkpoints of a run: which are kept, which is the newest that is sound, which is the best."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from easyrec.chunks import row_chunks
from easyrec.errors import CheckpointError
from easyrec.train.snapshot import PENDING, REPLACED, Snapshot, read_folder, read_state, write_folder

_STEP = re.compile(r"^step-(\d+)$")
_DOOMED = ".removing-"


class CheckpointStore:
    """The checkpoints of a run.

    Args:
        path: Folder that holds them.
        keep: How many of the newest are kept; what one of them calls its best is kept too.
    """

    def __init__(self, path: Path, keep: int = 2) -> None:
        self.path, self.keep = path, keep

    def steps(self) -> list[int]:
        """Steps of the checkpoints that are there, ascending; none of them verified."""
        if not self.path.is_dir():
            return []
        return sorted(int(m[1]) for entry in self.path.iterdir() if (m := _STEP.match(entry.name)))

    def folder(self, step: int) -> Path:
        """Where the checkpoint of `step` is."""
        return self.path / f"step-{step}"

    def clean(self) -> None:
        """Remove what interrupted writes left behind, and put back what was about to be replaced."""
        for entry in sorted(self.path.iterdir()) if self.path.is_dir() else ():
            former = self.path / entry.name.removeprefix(REPLACED)
            if entry.name.startswith(REPLACED) and not former.exists():
                entry.rename(former)
            elif entry.name.startswith((PENDING, _DOOMED, REPLACED)):
                shutil.rmtree(entry)

    def take_part(self, snapshot: Snapshot) -> None:
        """Give the worker that writes a checkpoint this one's part of the tables."""
        for array in snapshot.arrays.values():
            for rows in row_chunks(array) if array.ndim else ():
                array[rows]

    def write(self, step: int, snapshot: Snapshot) -> None:
        """Write the checkpoint of `step` and remove those that are no longer needed.

        `snapshot.state["best_step"]` names the checkpoint that is to stay for its quality.

        Raises:
            CheckpointError: See `write_folder`.
        """
        write_folder(self.folder(step), snapshot)
        self.prune()

    def prune(self) -> None:
        """Remove all but the newest, and the best of each of these."""
        steps = self.steps()
        kept = set(steps[-self.keep :])
        kept |= {best for step in tuple(kept) if (best := self._best_of(step)) is not None}
        for step in steps:
            if step not in kept:
                self._remove(step)

    def _best_of(self, step: int) -> int | None:
        try:
            best = json.loads((self.folder(step) / "state.json").read_bytes()).get("best_step")
        except (OSError, ValueError):
            return None
        return best if isinstance(best, int) else None

    def discard_after(self, step: int) -> None:
        """Remove the checkpoints later than `step`: damaged ones that resuming passed over."""
        for later in self.steps():
            if later > step:
                self._remove(later)

    def _remove(self, step: int) -> None:
        # Out of sight first, so that a crash leaves no half of it under its name.
        doomed = self.path / f"{_DOOMED}step-{step}"
        shutil.rmtree(doomed, ignore_errors=True)
        self.folder(step).rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def newest(self) -> tuple[int, Snapshot, list[CheckpointError]] | None:
        """The newest valid checkpoint, and what is wrong with newer ones; None where there is no checkpoint.

        Raises:
            CheckpointError: There are checkpoints, but none is valid.
        """
        problems: list[CheckpointError] = []
        for step in reversed(self.steps()):
            try:
                return step, read_folder(self.folder(step)), problems
            except CheckpointError as error:  # noqa: PERF203 (few, and each is a disk's work)
                problems.append(error)
        if problems:
            raise CheckpointError("no checkpoint is valid:\n" + "\n".join(f"  {p}" for p in problems))
        return None


def best_or_last(path: Path) -> Path:
    """Folder of the checkpoint that a run's `checkpoints` folder holds for use: the best, else the newest.

    Raises:
        CheckpointError: There is none, or the newest is damaged.
    """
    store = CheckpointStore(path)
    steps = store.steps()
    if not steps:
        raise CheckpointError(f"{path}: holds no checkpoint")
    best = read_state(store.folder(steps[-1])).get("best_step")
    return store.folder(best if best is not None else steps[-1])


def shapes(arrays: Mapping[str, np.ndarray] | Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shape of each array, for comparing a checkpoint with a model."""
    return {name: tuple(array.shape) for name, array in arrays.items()}


def differences(have: Mapping[str, tuple[int, ...]], want: Mapping[str, tuple[int, ...]]) -> Iterable[str]:
    """What stands between a checkpoint (`have`) and a model (`want`), one line each."""
    for name in sorted({*have, *want}):
        if name not in have:
            yield f"'{name}' {list(want[name])} is not in the checkpoint"
        elif name not in want:
            yield f"'{name}' {list(have[name])} is not in the model"
        elif have[name] != want[name]:
            yield f"'{name}' is {list(have[name])} in the checkpoint, but {list(want[name])} in the model"
