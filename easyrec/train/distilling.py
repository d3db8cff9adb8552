"""What a model is taught: the losses of what its teachers say, beside those of labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import torch
from torch import Tensor, nn

from easyrec.batch import Batch, Embedded
from easyrec.config.distill import layer_column, taught
from easyrec.losses import distill as losses
from easyrec.losses._loss import counted
from easyrec.losses.distill._loss import LayerLoss, ScoreLoss
from easyrec.train.layers import Layer, layer_of, listening
from easyrec.train.objective import output
from easyrec.train.scorer import task_scorings
from easyrec.train.teachers import steps_of, values_of

if TYPE_CHECKING:
    from easyrec.config import Experiment
    from easyrec.embedding.spec import EmbeddingPlan


class Distillation(nn.Module):
    """``(1 - alpha) * losses of labels + alpha * sum_k weight_k * loss_k``, the losses k of what teachers say.

    A task that no teacher speaks of keeps its loss whole. Its parameters, those of projections, are moved by the dense
    optimizer, and are part of checkpoints.

    Args:
        experiment: Who learns, from columns of its rows.
        model: The dense part, whose layers may be watched.
        plan: What it reads.
        types: The columns of what the teachers say.

    Raises:
        ConfigError: The model has no such layer.
    """

    def __init__(
        self, experiment: Experiment, model: nn.Module, plan: EmbeddingPlan, types: Mapping[str, pa.DataType]
    ) -> None:
        super().__init__()
        assert experiment.distill is not None
        self.config, self.every = experiment.distill, experiment.tasks
        self.tasks = [task for task in experiment.tasks if task.weight and taught(task.name) in types]
        # Teachers speak of all rows; where negatives are thinned out, what is learned is corrected after training.
        rates = {one.name: one.keep_rate for one in task_scorings(experiment)}
        self.shifts = {name: -math.log(rate) for name, rate in rates.items() if rate is not None}
        self.counts_all = self.config.candidates is not None  # drawn items weigh nothing for labels alone
        self.model = (model,)  # in a tuple: its parameters are not this module's
        self.of_scores: dict[str, list[ScoreLoss]] = {}
        self.layers: dict[int, Layer] = {}
        self.of_layers = nn.ModuleDict()
        for task in self.tasks:
            chosen = [one for one in self.config.losses if not one.of_layers and task.type in one.task_types]
            built = [losses.build(one, task) for one in chosen]
            self.of_scores[task.name] = [loss for loss in built if isinstance(loss, ScoreLoss)]
        with torch.random.fork_rng(devices=()):  # the model's own draws are what they are without a teacher
            torch.manual_seed(experiment.train.seed)
            for number, one in enumerate(self.config.losses):
                if one.of_layers:
                    loss = losses.build(one)
                    assert isinstance(loss, LayerLoss)
                    where = f"distill.losses.{number}.student"
                    self.layers[number] = layer_of(model, plan.layouts, one.student, where, steps=loss.steps)
                    self.of_layers[str(number)] = loss
                    if (width := self.layers[number].width) is not None:
                        loss.fit(width, types[layer_column(number)].list_size)

    @contextmanager
    def watching(self) -> Iterator[dict[str, Tensor]]:
        """Inside, what the watched layers of the model give is kept."""
        with listening(self.model[0], [layer.name for layer in self.layers.values()]) as heard:
            yield heard

    def of_labels(self, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses of labels with what they weigh, by task."""
        names = {task.name for task in self.tasks}
        return {name: loss * (1.0 - self.config.alpha) if name in names else loss for name, loss in found.items()}

    def forward(
        self,
        batch: Batch,
        logits: Mapping[str, Tensor],
        sessions: Mapping[str, Tensor],
        inputs: Embedded,
        heard: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """The losses of what teachers say, weighted, by names that none of the model's own losses has.

        Args:
            batch: Rows with the columns of the teachers.
            logits: What the model gives.
            sessions: By column: (B,) int64, equal where rows are of one list.
            inputs: What the model read.
            heard: What its watched layers gave.
        """
        assert batch.reserved is not None, "the loader was asked for the columns"
        found: dict[str, Tensor] = {}
        for task in self.tasks:
            z = logits[output(task, self.every)].float()
            if task.type == "binary" and z.dim() > 1:
                z = z[:, 1] - z[:, 0]  # of losses that read two outputs
            wanted = values_of(batch.reserved.column(taught(task.name))).to(z.device)
            wanted = wanted + self.shifts.get(task.name, 0.0)
            known = ~torch.isnan(wanted if wanted.dim() == 1 else wanted[:, 0])
            own = None if self.counts_all else counted(task, batch.labels, batch.sample_weight)
            weights = own if bool(known.all()) else known.float() if own is None else own * known
            wanted = torch.nan_to_num(wanted)
            for loss in self.of_scores[task.name]:
                by = loss.config.session(self.config)
                value = loss(z, wanted, weights, sessions[by[0]] if by else None)
                found[_name(loss.config.type, task.name, found)] = value * (self.config.alpha * loss.config.weight)
        rows = None if self.counts_all else batch.sample_weight
        for number, layer in self.layers.items():
            of_layer, given = self.of_layers[str(number)], batch.reserved.column(layer_column(number))
            assert isinstance(of_layer, LayerLoss)
            mine, device = layer.values(heard[layer.name]), heard[layer.name].device
            if layer.width is not None:
                value = of_layer(mine, values_of(given).to(device), rows)
            else:
                theirs, there = steps_of(given)
                value = of_layer(mine, theirs.to(device), rows, (layer.lengths(inputs), there.to(device)))
            chosen = of_layer.config
            found[_name(chosen.type, str(number), found)] = value * (self.config.alpha * chosen.weight)
        return found


def _name(kind: str, of: str, found: Mapping[str, Tensor]) -> str:
    """`distill/kd/click`, with a number where there is one already."""
    name = f"distill/{kind}/{of}"
    return name if name not in found else f"{name}/{len(found)}"
