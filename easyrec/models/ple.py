"""`ple`: levels of experts, some for each task and some shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Model
from easyrec.models._towers import Logits, Towers, TowersConfig
from easyrec.modules.cgc import CGC, CGCConfig

Count = Annotated[int, Field(gt=0)]


class Config(CGCConfig, TowersConfig):
    """Config of `ple`; with one level it is CGC."""

    type: Literal["ple"] = "ple"
    levels: Count | Annotated[list[CGCConfig], Field(min_length=1)] = 2
    """Levels of experts: how many, or for each what differs from the keys below."""

    def by_level(self) -> list[CGCConfig]:
        """The keys of each level."""
        own = {name: getattr(self, name) for name in CGCConfig.model_fields}
        listed = [CGCConfig()] * self.levels if isinstance(self.levels, int) else self.levels
        return [CGCConfig(**{**own, **{n: getattr(level, n) for n in level.model_fields_set}}) for level in listed]


class PLE(Model):
    """Logit of task t = tower_t(x_t^L), where level l of experts makes the tasks' x^l of x^{l-1}.

    Shape:
        output: {task: (B,)}, before the sigmoid

    Source:
        Tang et al., "Progressive Layered Extraction", RecSys 2020, eq. (1)-(6).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        levels: list[CGC] = []
        for keys in (chosen := config.by_level()):
            width = levels[-1].out if levels else self.width()
            levels.append(CGC(len(tasks), width, keys, last=len(levels) == len(chosen) - 1))
        self.levels = nn.ModuleList(levels)
        self.towers = Towers(tasks, levels[-1].out, config)
        self.logits = Logits(tasks, self.towers.outs)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        h = self.flat(x)  # (B, width)
        for level in self.levels:
            h = level(h)  # (B, T + 1, expert.hidden[-1]), the last of them shared; (B, T, ...) after the last level
        return self.logits(self.towers(h))
