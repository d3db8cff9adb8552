"""`star`: one model of several domains; a domain's weights multiply those that all share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.mlp import MLP, Layers, LayersConfig, MLPConfig
from easyrec.modules.star import PartitionedNorm, StarLinear, StarMLP


class Config(MLPConfig, ModelConfig):
    """Config of `star`."""

    type: Literal["star"] = "star"
    auxiliary: Layers = LayersConfig(hidden=[64])
    """Layers of the network that reads the domain beside everything else; a list is their `hidden`."""
    norm: bool = True
    """Normalise the input over the rows of its domain."""

    def uses(self) -> dict[str, GroupUse]:
        """Everything else in `deep`; in `domain` the one feature of ids that tells the domain."""
        return {"deep": GroupUse(), "domain": GroupUse(one_hot=True, about="domain")}


class STAR(Model):
    """Logit = star(norm(x)) + auxiliary([norm(x), domain]).

    The number of domains is that of the feature's ids. A domain that was never trained scores as none: by what all share.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Sheng et al., "One Model to Serve All: Star Topology Adaptive Recommender for Multi-Domain CTR Prediction",
        CIKM 2021, section 3.
    """

    seen: Tensor

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        width, domains = self.width(), self.width("domain")
        self.norm = PartitionedNorm(domains, width) if config.norm else None
        self.star = StarMLP(domains, width, config)
        self.last = StarLinear(domains, self.star.out, sum(task.num_outputs for task in tasks))
        self.deep = MLP(width + domains, config.auxiliary)
        self.head = Head(tasks, self.deep.out)
        self.register_buffer("seen", torch.zeros(domains))

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        flat, domain = self.flat(x), self.flat(x, "domain")  # (B, width), (B, N)
        if self.training:
            self.seen.copy_(torch.maximum(self.seen, (domain.detach().sum(dim=0) > 0).to(self.seen.dtype)))
        else:
            domain = domain * self.seen
        if self.norm is not None:
            flat = self.norm(flat, domain)
        logits = self.head(self.deep(torch.cat([flat, domain], dim=1)))
        hidden = self.star(flat, domain)  # (B, hidden[-1])
        with torch.autocast(flat.device.type, enabled=False):
            star = self.last(hidden.float(), domain)  # (B, outputs)
        parts = star.split(self.head.sizes, dim=1)
        return {
            name: logit + (part.squeeze(1) if logit.dim() == 1 else part)
            for (name, logit), part in zip(logits.items(), parts, strict=True)
        }
