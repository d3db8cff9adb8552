"""A start from another run's parameters: those of equal name and shape are taken over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from easyrec.errors import CheckpointError
from easyrec.train.checkpoint import best_or_last
from easyrec.train.snapshot import read_folder


@dataclass(frozen=True)
class Taken:
    """What happened to each parameter and table of a model.

    Attributes:
        taken: Names that were taken over.
        left: Names that keep their own start, each with the reason.
        unused: Names in the checkpoint that the model has not.
    """

    taken: tuple[str, ...]
    left: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"taken over: {', '.join(self.taken) or 'nothing'}"]
        lines += [f"not taken over: {', '.join(self.left)}"] if self.left else []
        lines += [f"only in the checkpoint: {', '.join(self.unused)}"] if self.unused else []
        return "\n".join(lines)


def init_from(
    path: str | Path,
    model: nn.Module,
    tables: Mapping[str, np.ndarray],
    given: Mapping[str, Callable[[np.ndarray], None]] | None = None,
    start_keys: Callable[[Mapping[str, np.ndarray]], tuple[list[str], list[str]]] | None = None,
) -> Taken:
    """Overwrite parameters, buffers and tables with those of a checkpoint.

    Args:
        path: A checkpoint's folder, or a run's: of that the best one.
        model: The dense part.
        tables: (rows, dim) of each table whose rows are ids; written in place.
        given: What looks at the checkpoint's table of a name and raises where it does not suit; such a table is not learned,
            and is not taken over.
        start_keys: Takes over the dynamic tables that fit; tells the names of these, and of the others with the reason.

    Raises:
        CheckpointError: There is no sound checkpoint at `path`, or nothing in it fits.
        ConfigError: A table that is given is another one there.
    """
    given = given or {}
    folder = Path(path)
    if (folder / "checkpoints").is_dir():
        folder = best_or_last(folder / "checkpoints")
    snapshot = read_folder(folder)
    # The averages are what was evaluated and exported there.
    theirs: dict[str, Tensor] = {**snapshot.tensors.get("dense", {}), **snapshot.tensors.get("ema", {})}
    their_tables = {n.removesuffix("/weight"): a for n, a in snapshot.arrays.items() if n.endswith("/weight")}
    for name, suits in given.items():
        if name in their_tables:
            suits(their_tables[name])
    taken: list[str] = []
    left: list[str] = []
    parameters = model.state_dict()
    with torch.no_grad():
        for name, own in parameters.items():
            if _fits(name, tuple(own.shape), theirs, left):
                own.copy_(theirs[name])
                taken.append(name)
    for name, table in tables.items():
        if name not in given and _fits(name, table.shape, their_tables, left):
            np.copyto(table, their_tables[name])
            taken.append(name)
    if start_keys is not None:
        started, anew = start_keys(snapshot.arrays)
        taken += started
        left += anew
        their_tables = {name: table for name, table in their_tables.items() if name not in started}
    if not taken:
        raise CheckpointError(f"train.init_from: nothing in {folder} fits this model: {'; '.join(left)}")
    unused = [name for name in (*theirs, *their_tables) if name not in parameters and name not in tables]
    return Taken(tuple(taken), tuple(left), tuple(unused))


def _fits(
    name: str, shape: tuple[int, ...], theirs: Mapping[str, Tensor] | Mapping[str, np.ndarray], left: list[str]
) -> bool:
    if name not in theirs:
        left.append(f"{name} (not there)")
    elif tuple(theirs[name].shape) != shape:
        left.append(f"{name} ({list(theirs[name].shape)} there, {list(shape)} here)")
    else:
        return True
    return False
