"""A start from another run's parameters: those of equal name and shape, and rows of tables by what their ids stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from easyrec.config.init_from import InitFrom
from easyrec.config.train import TrainConfig
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.spec import TableSpec
from easyrec.errors import CheckpointError, ConfigError, Problem, nearest
from easyrec.train.former import Former, outline_of, read_former
from easyrec.train.optimizers import DenseUpdates
from easyrec.train.rows_by_id import ids_of, keys_of
from feature_generator import FeatureGenerator


@dataclass
class Taken:
    """What happened to each parameter and table of a model.

    Attributes:
        taken: Names that were taken over.
        left: Names that keep their own start, each with the reason.
        unused: Names in the other run that the model has not.
    """

    taken: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"taken over: {', '.join(self.taken) or 'nothing'}"]
        lines += [f"not taken over: {', '.join(self.left)}"] if self.left else []
        lines += [f"only in the checkpoint: {', '.join(self.unused)}"] if self.unused else []
        return "\n".join(lines)


def init_from(
    start: InitFrom,
    model: nn.Module,
    collection: EmbeddingCollection,
    generator: FeatureGenerator,
    given: Mapping[str, Callable[[np.ndarray], None]] | None = None,
    updates: DenseUpdates | None = None,
) -> Taken:
    """Overwrite parameters, buffers and tables with those of another run.

    Args:
        start: Which one, and what of it.
        model: The dense part.
        collection: The tables.
        generator: Makes their ids.
        given: What looks at the other run's table of a name and raises where it does not suit; such a table is not learned,
            and is not taken over.
        updates: Moves the dense part; needed where `start.optimizer` is set.

    Raises:
        CheckpointError: There is nothing sound at the path, or nothing in it fits.
        BundleError: A bundle is damaged.
        ConfigError: A table that is given is another one there; or a name of the config is none here or there.
    """
    given, former = given or {}, read_former(start.path)
    if start.optimizer:
        dense = updates.type if updates is not None else ""
        _check_optimizers(former.optimizers, collection.tables.optimizer.type, dense)
        collection.go_to(former.step)
    for name, suits in given.items():
        if name in former.tables:
            suits(former.tables[name])
    parameters = model.state_dict()
    names = [*parameters, *(spec.name for spec in collection.plan.tables)]
    _check_names(start, names, [*former.dense, *former.tables])
    learned = former.learned if start.optimizer else former.dense
    theirs = {start.name_here(name): tensor for name, tensor in learned.items()}
    told = Taken()
    with torch.no_grad():
        for name, own in parameters.items():
            why = _unfit(start, name, tuple(own.shape), theirs)
            if why:
                told.left.append(f"{name} ({why})")
            else:
                own.copy_(theirs[name])
                told.taken.append(name)
    if start.optimizer and updates is not None:
        updates.load_state(_of_dense(start, former, {*told.taken} & {*updates.names}))
    tables = _Tables(start, former, collection, generator)
    tables.take([spec for spec in collection.plan.tables if spec.name not in given], told)
    if not told.taken:
        raise CheckpointError(f"train.init_from: nothing in {former.path} fits this model: {'; '.join(told.left)}")
    told.unused += [name for name in (*theirs, *tables.named) if name not in names]
    return told


def check_start(start: InitFrom, config: TrainConfig, names: Sequence[str]) -> None:
    """Refuse a start before anything is made or read: another run that is not there, or that has not what is asked of it.

    Args:
        start: Which run, and what of it.
        config: Its optimizers are those that would go on.
        names: Parameters and tables here.

    Raises:
        ConfigError: There is no such run, its optimizers are others, or a name stands for nothing.
        CheckpointError: It holds no checkpoint, or what that says of itself cannot be read.
        BundleError: What the bundle says of itself cannot be read.
    """
    outline = outline_of(start.path)
    if start.optimizer:
        _check_optimizers(outline.optimizers, config.sparse_optimizer.type, config.dense_optimizer.type)
    _check_names(start, names, outline.names)


def _of_dense(start: InitFrom, former: Former, names: set[str]) -> dict[str, Tensor]:
    """The state of the dense optimizer for parameters that were taken over."""
    found = {}
    for key, value in former.optimizer.items():
        name, _, part = key.rpartition("/")
        if (here := start.name_here(name)) in names:
            found[f"{here}/{part}"] = value
    return found


def _check_optimizers(theirs: Mapping[str, str], sparse: str, dense: str) -> None:
    """Refuse to go on with what other optimizers kept."""
    for name, kind in (("sparse", sparse), ("dense", dense)):
        if theirs.get(name) != kind:
            told = f"there it is '{theirs[name]}'" if name in theirs else "a bundle holds no state of optimizers"
            text = f"the {name} optimizer is '{kind}' and its state should be taken over, but {told}"
            raise ConfigError([Problem(f"{text}\nleave 'optimizer' out", "train.init_from.optimizer")])


def _check_names(start: InitFrom, here: Sequence[str], there: Sequence[str]) -> None:
    """Refuse names of the config that stand for nothing: they would do nothing in silence."""
    problems = [
        Problem(f"'{name}' is no parameter or table of {start.path}{nearest(name, there)}", "train.init_from.rename")
        for name in start.rename
        if not any(other == name or (name.endswith("*") and other.startswith(name[:-1])) for other in there)
    ]
    for index, pattern in enumerate(start.skip):
        if not any(InitFrom(path=start.path, skip=[pattern]).skips(name) for name in here):
            text = f"'{pattern}' is no parameter or table of this model{nearest(pattern, here)}"
            problems.append(Problem(text, f"train.init_from.skip.{index}"))
    if problems:
        raise ConfigError(problems)


def _unfit(
    start: InitFrom,
    name: str,
    shape: tuple[int, ...],
    theirs: Mapping[str, Tensor] | Mapping[str, np.ndarray],
) -> str:
    """Why something starts anew; empty where it does not."""
    if start.skips(name):
        return "skipped"
    if name not in theirs:
        return "not there"
    there = tuple(theirs[name].shape)
    return "" if there == shape else f"{list(there)} there, {list(shape)} here"


class _Tables:
    """The tables of another run, by their names here."""

    def __init__(
        self, start: InitFrom, former: Former, collection: EmbeddingCollection, generator: FeatureGenerator
    ) -> None:
        self.start, self.former, self.collection, self.generator = start, former, collection, generator
        self.named = {self._here(name): table for name, table in former.tables.items()}
        self.before = {self._here(name): name for name in former.tables}
        self.keys = {start.name_here(name): parts for name, parts in former.keys.items()}
        self.base = {start.name_here(name): name for name in former.keys}

    def _here(self, there: str) -> str:
        """A name here; `<table>:first` goes with its table."""
        base, colon, rest = there.partition(":")
        here = self.start.name_here(there)
        return here if here != there or not colon else f"{self.start.name_here(base)}:{rest}"

    def take(self, specs: list[TableSpec], told: Taken) -> None:
        """Take over what fits."""
        started: dict[str, tuple[np.ndarray, np.ndarray] | str] = {}
        for spec in specs:
            key = spec.keys
            if self.start.skips(spec.name) or spec.name not in self.named:
                told.left.append(f"{spec.name} ({_unfit(self.start, spec.name, (), self.named)})")
                continue
            theirs = self.named[spec.name]
            if theirs.shape[1] != spec.dim:
                told.left.append(f"{spec.name} ({theirs.shape[1]} wide there, {spec.dim} here)")
                continue
            base = key or spec.name.partition(":")[0]
            if key is not None:
                if key not in started:
                    started[key] = self._start_keys(key)
                rows = started[key]
            elif base in self.keys:
                rows = self._static_rows(base, spec.rows)
            elif theirs.shape != (spec.rows, spec.dim):
                rows = f"{list(theirs.shape)} there, {[spec.rows, spec.dim]} here"
            else:
                rows = np.arange(spec.rows), np.arange(spec.rows)
            if isinstance(rows, str):
                told.left.append(f"{spec.name} ({rows})")
                continue
            self.collection.take_over(spec.name, "weight", theirs, *rows)
            told.taken.append(spec.name)
            if self.start.optimizer:
                for part, states in self.former.states.get(self.before[spec.name], {}).items():
                    self.collection.take_over(spec.name, part, states, *rows)
        for key, rows in started.items():  # tables of the same keys that were not taken over
            if not isinstance(rows, str):
                left = [s for s in specs if s.keys == key and s.name not in told.taken]
                self.collection.start_rows(left, rows[0])

    def _start_keys(self, name: str) -> tuple[np.ndarray, np.ndarray] | str:
        """Give keys of ours the rows of ids that they had there: rows here and there, or why not."""
        if self.former.generator is None:
            return "the features of that run cannot be read, or have changed since"
        if self.generator.config.hash != self.former.generator.config.hash:
            return "ids are hashed otherwise there"
        if name in self.keys:
            return self.collection.start_keys(name, self.keys[name])
        told = keys_of(self.former.generator, self.before.get(name, name))
        if isinstance(told, str):
            return told
        ids, keys = told
        parts = {"keys": keys, "rows": ids.astype(np.int32), "counts": np.ones(len(keys), np.float32)}
        parts |= {"steps": np.zeros(len(keys), np.uint32)}
        return self.collection.start_keys(name, parts)

    def _static_rows(self, name: str, rows: int) -> tuple[np.ndarray, np.ndarray] | str:
        """Rows here and there of the ids that had rows in a dynamic table."""
        parts = self.keys[name]
        if self.former.generator is None or self.generator.config.hash != self.former.generator.config.hash:
            return "ids are hashed otherwise there, or that run's features cannot be read"
        with_row = np.flatnonzero(parts["rows"] >= 0)
        ids = ids_of(self.generator, name, parts["keys"][with_row])
        if isinstance(ids, str):
            return ids
        order = np.argsort(
            parts["counts"][with_row], kind="stable"
        )  # of several for one row, the most frequent is last
        ids, there = ids[order], parts["rows"][with_row][order].astype(np.int64)
        inside = (ids >= 0) & (ids < rows)
        return ids[inside], there[inside]
