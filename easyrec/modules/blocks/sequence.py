"""`sequence`: one sequence of a group, as its encoder makes a vector of it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse
from easyrec.errors import ConfigError, nearest
from easyrec.modules.blocks import GroupBlockConfig
from easyrec.modules.blocks._block import Around, Block, Reader


class Config(GroupBlockConfig):
    """Config of `sequence`; the encoder is named where the group names the sequence."""

    type: Literal["sequence"] = "sequence"
    sequence: str
    """Name of the sequence."""

    def use(self) -> tuple[str, GroupUse]:
        """Embeddings of any dims."""
        return self.group, GroupUse()


class Sequence(Block):
    """One encoded sequence of the group.

    Shape:
        output: (B, W), as wide as its encoder says
    """

    reads = True

    def __init__(self, config: Config, around: Around) -> None:
        super().__init__(config, around)
        layout = around.model.layouts[config.group]
        self.steps = next((s for s in layout.sequences if s.name == config.sequence), None)
        # One that the lookup pools is a field per child.
        pooled = [span for span in layout.fields if span.name.partition("__")[0] == config.sequence]
        self.pooled = [span.name for span in pooled]
        if self.steps is not None:
            self.shape = (around.model.interest_width(config.group, self.steps),)
        elif pooled:
            self.shape = (sum(span.dim for span in pooled),)
        else:
            known = [s.name for s in layout.sequences]
            known += sorted({span.name.partition("__")[0] for span in layout.fields if "__" in span.name})
            raise ConfigError(
                f"group '{config.group}' has no sequence '{config.sequence}'{nearest(config.sequence, known)}\n"
                f"it has: {', '.join(known) or 'none'}; list it under model.groups.{config.group}.sequences"
            )

    def forward(self, model: Reader, x: Embedded) -> Tensor:
        """The vector."""
        group = self.config.group
        if self.steps is not None:
            return model.interest(x, self.steps, group)
        parts = [x.feature(group, child) for child in self.pooled]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
