"""`cl4srec`: `sasrec` whose users should also be known by parts of their sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._sequential import Sequential, SequentialConfig
from easyrec.modules.augmentation import augmented
from easyrec.modules.mlp import exactly


class Config(SequentialConfig):
    """Config of `cl4srec`."""

    type: Literal["cl4srec"] = "cl4srec"
    contrast: float = Field(0.1, gt=0.0)
    """Weight of the loss that tells two views of one user from those of others."""
    contrast_temperature: float = Field(1.0, gt=0.0)
    """What the products of views are divided by."""
    crop: float = Field(0.6, gt=0.0, le=1.0)
    """Share of a sequence that is kept where a view is a part of it."""
    mask: float = Field(0.3, gt=0.0, le=1.0)
    """Share of the steps that are hidden where a view has gaps."""
    reorder: float = Field(0.6, gt=0.0, le=1.0)
    """Share of a sequence that is shuffled where a view is in another order."""

    def default_encoder(self) -> str | None:
        """That of `sasrec`."""
        return "sasrec"


class CL4SRec(Sequential):
    """Logit = <x_L, v> / T + b, as `sasrec`; with ``-log(exp(<a, b> / t) / sum_c exp(<a, c> / t))`` to learn beside.

    a and b are x_L of two views of a user's sequence, c the other views in the batch; a view is a part of the sequence,
    one with gaps, or one in another order.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Xie et al., "Contrastive Learning for Sequential Recommendation", ICDE 2022, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.mask = nn.Parameter(0.02 * torch.randn(self.main.dim))

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits; in training also `views`, (2, B, D)."""
        outputs = super().forward(x)
        if self.training:
            steps, encoder, config = x.sequence(self.main.name, "user"), self._encoder("user", self.main), self.config
            shares = {"crop": config.crop, "hide": config.mask, "reorder": config.reorder}
            outputs["views"] = torch.stack([encoder(augmented(steps, self.mask, **shares), None) for _ in range(2)])
        return outputs

    def auxiliary(
        self, outputs: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Tensor | None
    ) -> dict[str, Tensor]:
        """The contrastive loss, and those of the encoders."""
        views = outputs["views"].float()
        there = torch.nonzero(views.detach().abs().amax(dim=(0, 2)) > 0).squeeze(1)  # users with steps
        views = views.index_select(1, there).flatten(0, 1)  # (2n, D)
        count = there.shape[0]
        with exactly(views):
            logits = views @ views.T / self.config.contrast_temperature
        logits = logits.masked_fill(torch.eye(2 * count, dtype=torch.bool, device=logits.device), -torch.inf)
        others = torch.arange(2 * count, device=logits.device).roll(count)
        losses = F.cross_entropy(logits, others, reduction="none")
        of_users = torch.ones_like(there) if weights is None else weights.index_select(0, there)
        of_views = of_users.repeat(2).to(losses.dtype)
        loss = (losses * of_views).sum() / of_views.sum().clamp_min(1e-12)
        found = super().auxiliary(outputs, labels, weights)
        return {**found, "contrast": self.config.contrast * loss}
