"""What models of several tasks share: a tower and a logit for each task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.config.model import ModelConfig, TaskConfig
from easyrec.errors import Problem, nearest
from easyrec.modules.mlp import MLP, Layers, LayersConfig, in_float32, linear

TWO_TASKS = ({"name": "click", "label": "click"}, {"name": "buy", "label": "buy"})
"""Tasks of a first config."""


class TowersConfig(ModelConfig):
    """Keys of models with a tower for each task."""

    example_tasks: ClassVar[Sequence[Mapping[str, Any]]] = TWO_TASKS

    tower: Layers = LayersConfig(hidden=[64])
    """Layers of each task's tower; a list is their `hidden`."""
    towers: dict[str, Layers] = Field({})
    """By task, what differs from `tower`."""

    def tower_of(self, task: str) -> LayersConfig:
        """Layers of a task's tower."""
        own = self.towers.get(task, self.tower)
        return self.tower.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})

    def unfit(self, tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """Towers of tasks that are not there."""
        yield from super().unfit(tasks)
        names = [task.name for task in tasks]
        for name in self.towers:
            if name not in names:
                yield unknown_task(name, names, f"model.towers.{name}")


def unknown_task(name: str, names: Sequence[str], where: str) -> Problem:
    """The problem of a task that is named and not there."""
    return Problem(f"no task is called '{name}'{nearest(name, names)}; tasks: {', '.join(names)}", where)


def no_probabilities(kind: str, tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
    """The problems of tasks whose logit is not that of one probability."""
    for index, task in enumerate(tasks):
        if task.loss_config.type != "bce":
            text = f"'{kind}' reads probabilities, and '{task.name}' is none: make it binary, with the loss bce"
            key = "loss" if task.loss is not None else "type"
            yield Problem(text, f"model.tasks.{index}.{key}")


def too_few(kind: str, tasks: Sequence[TaskConfig], why: str) -> Iterator[Problem]:
    """The problem of a single task."""
    if len(tasks) < 2:
        example = "tasks: [{name: click, label: click}, {name: buy, label: buy}]"
        yield Problem(f"'{kind}' {why}, so it needs two tasks or more, e.g.\n{example}", "model.tasks")


class Logits(nn.Module):
    """``z_t = w_t . h_t + b_t``, the logit of each task from a vector of its own.

    Shape:
        hidden: (B, widths[t]) for each task
        output: {task: (B,)}, {"logit": (B,)} for a single task; (B, C) for C classes
    """

    if TYPE_CHECKING:  # nn.Module's own call returns Any

        def __call__(self, hidden: Sequence[Tensor]) -> dict[str, Tensor]: ...

    def __init__(self, tasks: Sequence[TaskConfig], widths: Sequence[int]) -> None:
        super().__init__()
        self.names = [task.name for task in tasks] if len(tasks) > 1 else ["logit"]
        pairs = zip(tasks, widths, strict=True)
        self.vectors = nn.ModuleList(linear(width, task.num_outputs) for task, width in pairs)

    @torch.no_grad()
    def begin(self, name: str, logits: Tensor) -> None:
        """Make the logits of one task start around these, (C,): they become its bias."""
        vector = self.vectors[self.names.index(name)]
        assert isinstance(vector, nn.Linear)
        vector.bias.copy_(logits)

    def forward(self, hidden: Sequence[Tensor]) -> dict[str, Tensor]:
        """The logits, float32."""
        logits = {}
        for name, vector, h in zip(self.names, self.vectors, hidden, strict=True):
            assert isinstance(vector, nn.Linear)
            z = in_float32(vector, h)
            logits[name] = z.squeeze(1) if z.shape[1] == 1 else z
        return logits


class Towers(nn.Module):
    """``h_t = MLP_t(x_t)`` of each task.

    Shape:
        input: (B, width), read by all, or (B, T, width), one each
        output: (B, outs[t]) for each task

    Attributes:
        outs: Widths of what the towers give.
    """

    if TYPE_CHECKING:  # nn.Module's own call returns Any

        def __call__(self, input: Tensor) -> list[Tensor]: ...

    def __init__(self, tasks: Sequence[TaskConfig], width: int, config: TowersConfig) -> None:
        super().__init__()
        mlps = [MLP(width, config.tower_of(task.name)) for task in tasks]
        self.mlps, self.outs = nn.ModuleList(mlps), [mlp.out for mlp in mlps]

    def forward(self, input: Tensor) -> list[Tensor]:
        """The vectors of the tasks."""
        inputs = input.unbind(1) if input.dim() == 3 else [input] * len(self.mlps)
        return [mlp(x) for mlp, x in zip(self.mlps, inputs, strict=True)]
