"""`Activations`: the inputs of a trained model for the rows of `valid`, looked up once and kept where the model trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from easyrec import metrics
from easyrec.batch import Embedded
from easyrec.config import Experiment
from easyrec.config.model import TaskConfig
from easyrec.config.watched import directions
from easyrec.data import make_loader, open_sources
from easyrec.device import CPU, open_device
from easyrec.embedding.spec import EmbeddingPlan
from easyrec.errors import TuneError
from easyrec.train.memory import kept_memory
from easyrec.train.restore import restore
from easyrec.train.scorer import Scorer

CHUNK = 8192
"""Rows that the model scores at once."""
ROOM = 0.5
"""Part of a GPU's free memory that the inputs may take."""


class Activations:
    """The inputs of a model, any of which can be put to other rows.

    Args:
        experiment: What was trained.
        scorer: The trained model.
        tensors: The looked-up inputs of all rows, by key.
        columns: `labels`, weights and raw columns of the rows.
        size: Number of rows.
    """

    def __init__(
        self,
        experiment: Experiment,
        scorer: Scorer,
        tensors: dict[str, Tensor],
        columns: tuple[dict[str, np.ndarray], np.ndarray | None, dict[str, pa.ChunkedArray]],
        size: int,
    ) -> None:
        self.experiment, self.scorer, self.tensors, self.size = experiment, scorer, tensors, size
        self.labels, self.weights, self.columns = columns
        self.layouts = scorer.collection.plan.layouts
        self.places = places(scorer.collection.plan)
        self.children = {
            f"{layout.name}/{sequence.name}": {child.name for child in sequence.children}
            for layout in self.layouts.values()
            for sequence in layout.sequences
        }
        self.tasks, self.signs = _measured(experiment)

    @classmethod
    def of(cls, experiment: Experiment, folder: Path, rows: int) -> Activations:
        """The inputs of the best checkpoint of a run, for the first rows of `valid`.

        Raises:
            TuneError: There are no rows.
        """
        scorer, device = restore(experiment, folder), open_device(experiment.train.device)
        scorer.to(device)
        part = open_sources(experiment).valid
        assert part is not None
        loader = make_loader(experiment, part, training=False)
        needed = experiment.eval.columns(experiment.tasks)
        kept: list[Mapping[str, Tensor]] = []
        labels: list[Mapping[str, Tensor]] = []
        weights: list[Tensor] = []
        tables: list[pa.Table] = []
        size = 0
        with torch.no_grad(), kept_memory(), scorer.averaged():
            for batch in loader:
                kept.append(scorer.collection.lookup(batch).tensors)
                labels.append(batch.labels)
                weights += [] if batch.sample_weight is None else [batch.sample_weight]
                tables += [] if batch.reserved is None else [batch.reserved.select(needed)]
                size += batch.size
                if size >= rows:
                    break
            loader.close()
        if not size:
            raise TuneError("data.valid has no rows to measure on")
        columns = (
            {name: torch.cat([part[name] for part in labels]).numpy() for name in labels[0]},
            torch.cat(weights).numpy() if weights else None,
            {name: pa.concat_tables(tables)[name] for name in needed} if needed else {},
        )
        tensors = _joined(kept)
        place = device if has_room(device, sum(tensor.nbytes for tensor in tensors.values())) else CPU
        tensors = {key: tensor.to(place) for key, tensor in tensors.items()}
        return cls(experiment, scorer, tensors, columns, size)

    def scores(self, features: Sequence[str] = (), seed: Sequence[int] = ()) -> dict[str, np.ndarray]:
        """The scores of all rows by task, with some features at other rows."""
        parts: list[dict[str, np.ndarray]] = []
        moved = self.permuted(set(features), np.random.default_rng([7, *seed]))
        with moved as tensors, torch.no_grad(), self.scorer.averaged():
            self.scorer.model.eval()
            for start in range(0, self.size, CHUNK):
                inputs = Embedded(_rows(tensors, start, min(start + CHUNK, self.size)), self.layouts)
                given = self.scorer.link(self.scorer.model(inputs.on(self.scorer.device)))
                parts.append({name: tensor.cpu().numpy() for name, tensor in given.items()})
        return self.scorer.scoring({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    def measure(self, features: Sequence[str] = (), seed: Sequence[int] = ()) -> dict[str, float]:
        """The metric of each task that has one here, its sign turned where less is better, with some features at other rows.

        Raises:
            TuneError: No task has one: the labels of the rows are all alike.
        """
        config = self.experiment.eval.model_copy(update={"metrics": [], "slices": []})
        evaluation = metrics.Evaluation(self.tasks, config)
        evaluation.update(self.scores(features, seed), self.labels, self.weights, self.columns)
        values = evaluation.compute()
        found = {key: sign * value for key, sign in self.signs.items() if (value := values[key]) is not None}
        if not found:
            raise TuneError(f"{', '.join(self.signs)}: not defined on the first {self.size:,} rows of data.valid")
        return found

    def drops(self, base: Mapping[str, float], features: Sequence[str], seed: Sequence[int]) -> list[float]:
        """How much worse the metric of each task is, in the order of `base`."""
        found = self.measure(features, seed)
        return [value - found[key] for key, value in base.items()]

    @contextmanager
    def permuted(self, features: set[str], random: np.random.Generator) -> Iterator[dict[str, Tensor]]:
        """Inside, the inputs with some features at other rows, the same for all of these.

        Columns change where they are, and change back afterwards: the others, most of them, are not copied.
        """
        tensors = dict(self.tensors)
        place = next(iter(self.tensors.values())).device
        order = torch.from_numpy(random.permutation(self.size)).to(place)
        columns: dict[str, list[int]] = {}
        for feature in self.places.keys() & features:
            for key, at in self.places[feature]:
                columns.setdefault(key, []).extend(at)
        before: list[tuple[Tensor, list[int], Tensor]] = []
        try:
            for key, at in sorted(columns.items()):
                name = key.partition(":")[2]
                if key.startswith("seq:") and self.children[name] <= features:
                    tensors |= _sequence_at(self.tensors, name, order)
                    continue
                tensor = tensors[key]
                before.append((tensor, at, tensor[:, at]))
                # Where other children of a sequence stay, only steps can change places.
                steps = key.startswith("seq:")
                rows = torch.from_numpy(random.permutation(len(tensor))).to(place) if steps else order
                tensor[:, at] = before[-1][2][rows]
            yield tensors
        finally:
            for tensor, at, values in before:
                tensor[:, at] = values


def places(plan: EmbeddingPlan) -> dict[str, list[tuple[str, list[int]]]]:
    """Where each feature stands among the looked-up inputs: keys of tensors, each with columns."""
    found: dict[str, list[tuple[str, list[int]]]] = {}

    def note(feature: str, key: str, start: int, width: int) -> None:
        found.setdefault(feature, []).append((key, list(range(start, start + width))))

    for name, group in plan.groups.items():
        layout = group.layout
        for span in layout.fields if layout.width else ():
            note(span.name, f"emb:{name}", span.start, span.dim)
        for bag in group.first:
            note(bag.feature, f"first:{name}", bag.start, bag.dim)
        for span in layout.dense:
            note(span.name, f"dense:{name}", span.start, span.dim)
        for numeric in layout.numeric:
            note(numeric.name, f"num:{name}", numeric.start, numeric.size)
        for sequence in layout.sequences:
            for child in sequence.children:
                note(child.name, f"seq:{name}/{sequence.name}", child.start, child.dim)
    return found


def has_room(device: torch.device, size: int) -> bool:
    """Whether a device can keep so many bytes, and as many again while the model scores."""
    return device.type != "cuda" or size < torch.cuda.mem_get_info(device)[0] * ROOM


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The inputs of all batches as those of one."""
    found: dict[str, Tensor] = {}
    for key in parts[0]:
        kind, _, rest = key.partition(":")
        tensors = [part[key] for part in parts]
        if kind in ("rows", "offsets"):
            shift, shifted = 0, []
            for part, tensor in zip(parts, tensors, strict=True):
                offsets = part[f"offsets:{rest}"]
                shifted.append((tensor if kind == "rows" else tensor[:-1]) + shift)
                shift += len(offsets) - 1 if kind == "rows" else int(offsets[-1])
            tensors = shifted if kind == "rows" else [*shifted, torch.tensor([shift])]
        found[key] = torch.cat(tensors)
    return found


def _rows(tensors: Mapping[str, Tensor], start: int, stop: int) -> dict[str, Tensor]:
    """The inputs of some rows."""
    found: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        kind, _, rest = key.partition(":")
        if kind in ("seq", "rows", "offsets"):
            first, last = (int(tensors[f"offsets:{rest}"][at]) for at in (start, stop))
            if kind == "offsets":
                found[key] = tensor[start : stop + 1] - first
            else:
                found[key] = tensor[first:last] - (start if kind == "rows" else 0)
        else:
            found[key] = tensor[start:stop]
    return found


def _sequence_at(tensors: Mapping[str, Tensor], name: str, order: Tensor) -> dict[str, Tensor]:
    """A sequence whose rows stand in another order."""
    offsets = tensors[f"offsets:{name}"]
    lengths = (offsets[1:] - offsets[:-1])[order]
    ends = torch.cumsum(lengths, 0)
    numbers = torch.arange(max(len(lengths), int(ends[-1]) if len(ends) else 0), device=ends.device)
    rows = torch.repeat_interleave(numbers[: len(lengths)], lengths)
    within = numbers[: len(rows)] - (ends - lengths)[rows]
    steps = offsets[:-1][order][rows] + within
    return {
        f"seq:{name}": tensors[f"seq:{name}"][steps],
        f"rows:{name}": rows,
        f"offsets:{name}": torch.cat([ends.new_zeros(1), ends]),
    }


def _measured(experiment: Experiment) -> tuple[tuple[TaskConfig, ...], dict[str, float]]:
    """The tasks with one metric each, that which training watches or the first with a direction, and the signs of these."""
    watched, known = experiment.watched, directions(experiment.tasks, experiment.eval)
    tasks: list[TaskConfig] = []
    signs: dict[str, float] = {}
    for task, configs in zip(experiment.tasks, experiment.eval.for_tasks(experiment.tasks).values(), strict=True):
        prefix = f"{task.name}/" if len(experiment.tasks) > 1 else ""
        able = {f"{prefix}{config.key}": config for config in configs if known[f"{prefix}{config.key}"]}
        key = watched.key if watched and watched.key in able else next(iter(able), None)
        tasks.append(task.model_copy(update={"metrics": [able[key]] if key else []}))
        if key is not None:
            signs[key] = 1.0 if known[key] == "higher" else -1.0
    if watched is not None:
        signs = {watched.key: signs.pop(watched.key), **signs}
    return tuple(tasks), signs
