"""`home`: a hierarchy of experts, of all tasks, of categories of tasks, and of each task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.errors import Problem
from easyrec.layout import GroupLayout
from easyrec.models._model import Model
from easyrec.models._towers import Logits, Towers, TowersConfig, unknown_task
from easyrec.modules.activation import Activation
from easyrec.modules.hierarchy import GatedExperts
from easyrec.modules.mlp import LayersConfig, Widths, widths_alone


class ExpertConfig(LayersConfig):
    """An MLP as a block, by default normalised over the batch, so that the outputs of all experts are of one size."""

    activation: Activation = "silu"
    batch_norm: bool = True


ExpertLayers = Annotated[ExpertConfig, BeforeValidator(widths_alone, json_schema_input_type=ExpertConfig | Widths)]


class Config(TowersConfig):
    """Config of `home`."""

    type: Literal["home"] = "home"
    categories: dict[str, list[str]] = Field({})
    """Tasks that are much alike, by the category's name: `{watch: [view, finish], act: [like, share]}`; tasks that none
    names are one more category."""
    experts: int = Field(2, gt=0)
    """Experts of each: all tasks, a category, and at the second level a task."""
    expert: ExpertLayers = ExpertConfig()
    """Layers of each expert; a list is their `hidden`."""
    fea_gate: int = Field(8, ge=0)
    """Rank of the gates that scale each expert's input; 0: none."""

    def unfit(self, tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """Categories of tasks that are not there, or of a task twice."""
        yield from super().unfit(tasks)
        names, seen = [task.name for task in tasks], set[str]()
        for category, members in self.categories.items():
            for index, name in enumerate(members):
                where = f"model.categories.{category}.{index}"
                if name not in names:
                    yield unknown_task(name, names, where)
                elif name in seen:
                    text = f"a task is in one category, but '{name}' is given twice: leave it in one of them"
                    yield Problem(text, where)
                seen.add(name)

    def categories_of(self, names: Sequence[str]) -> list[int]:
        """For each task the number of its category."""
        listed = [members for members in self.categories.values() if members]
        return [next((i for i, members in enumerate(listed) if name in members), len(listed)) for name in names]


class HoME(Model):
    """Logit of task t = tower_t(z_t), after two levels of experts.

    Level 1: experts of all tasks and of each category make z_s, which mixes all of them, and z_c of a category, which
    mixes its own and those of all. Level 2: experts of all tasks read z_s, those of a category and of its tasks z_c; z_t
    mixes its own, its category's and those of all, by gates that read [z_c, z_s]. Fea-gates scale each expert's input,
    self-gates add to each reader what its own experts say.

    Shape:
        output: {task: (B,)}, before the sigmoid

    Source:
        Wang et al., "HoME: Hierarchy of Multi-Gate Experts for Multi-Task Learning at Kuaishou", arXiv 2408.05430,
        section 3.
    """

    readers: Tensor
    category: Tensor

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        category = torch.tensor(config.categories_of([task.name for task in tasks]))  # (T,)
        number, width = int(category.max()) + 1, self.width()
        # Owners of experts: 0 .. number - 1 are the categories, then all tasks, then each task.
        first = torch.arange(number + 1).repeat_interleave(config.experts)
        second = torch.arange(number + 1 + len(tasks)).repeat_interleave(config.experts)
        owns = torch.arange(number + 1).unsqueeze(1) == first
        everything = torch.arange(number + 1).unsqueeze(1) == number
        reads = owns | (first == number) | everything
        self.meta = GatedExperts(width, width, reads, owns, config.expert, config.fea_gate)
        own = torch.arange(number + 1, number + 1 + len(tasks)).unsqueeze(1) == second
        reads = own | (second == number) | (category.unsqueeze(1) == second)
        hidden = self.meta.out
        self.level = GatedExperts(hidden, 2 * hidden, reads, own, config.expert, config.fea_gate)
        sources = torch.cat([torch.arange(number + 1), category])  # which z an owner's experts read
        self.register_buffer("readers", sources.index_select(0, second), persistent=False)
        self.register_buffer("category", category, persistent=False)
        self.towers = Towers(tasks, self.level.out, config)
        self.logits = Logits(tasks, self.towers.outs)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        flat = self.flat(x)  # (B, width)
        z = self.meta(flat, flat)  # (B, C + 1, H), the last of them z_s
        own, shared = z.index_select(1, self.category), z[:, -1:]  # (B, T, H), (B, 1, H)
        about = torch.cat([own, shared.expand_as(own)], dim=2)  # (B, T, 2 H)
        return self.logits(self.towers(self.level(z.index_select(1, self.readers), about)))
