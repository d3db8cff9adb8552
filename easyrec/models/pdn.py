"""`pdn`: paths from a user over what it did to the candidate, beside a direct one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.errors import ConfigError, Problem
from easyrec.layout import GroupLayout, SequenceLayout
from easyrec.models._model import Head, Model, encoder_name
from easyrec.modules.mlp import MLP, MLPConfig, exactly, in_float32, linear
from easyrec.modules.named import module_name
from easyrec.modules.sequence.pdn import Paths


class Config(MLPConfig, ModelConfig):
    """Config of `pdn`; the keys of an MLP are those of both sides of the direct path, and of the bias.

    Sequences that name no encoder have `pdn`.
    """

    type: Literal["pdn"] = "pdn"
    output_dim: int = Field(32, gt=0)
    """Width of the vectors whose product is the direct path."""

    def uses(self) -> dict[str, GroupUse]:
        """All of `user`; of `item` also what the user did, to compare it with; and what biased the choice."""
        return {
            "user": GroupUse(about="user"),
            "item": GroupUse(about="item", sequence=True),
            "bias": GroupUse(optional=True),
        }

    def default_encoder(self) -> str | None:
        """The paper's."""
        return self.type


class PDN(Model):
    """Logit = log(e^y - 1) + b with ``y = softplus(<u, v>) + sum_l path_l + softplus(MLP(x_bias))``.

    With b = 0 the probability is ``1 - e^{-y}``: each path and the direct one can bring about the click on its own. The
    bias of the choice counts in training alone.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Li et al., "Path-based Deep Network for Candidate Item Matching in Recommenders", SIGIR 2021, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        layout = self.layouts["item"]
        listed = {entry.key: entry for entry in config.groups["item"].sequences} if config.groups else {}
        problems = [
            Problem(
                f"'pdn' sums the paths over '{name}', so it takes no encoder but its own: leave 'encoder' out", place
            )
            for name, entry in listed.items()
            if (entry.encoder.type if entry.encoder else "pdn") != "pdn"
            for place in [config.place_of("item", name)]
        ]
        if problems:
            raise ConfigError(problems)
        described = layout.width + layout.dense_width
        self.user_side, self.item_side = self._side(self.width("user")), self._side(described)
        self.to_trigger, self.to_similarity = nn.ModuleDict(), nn.ModuleDict()
        for sequence in layout.sequences:
            name, paths = module_name(sequence.name), self._paths(sequence)
            self.to_trigger[name] = linear(self.width("user"), paths.config.trigger[0], bias=False)
            self.to_similarity[name] = linear(described, paths.config.similarity[0], bias=False)
        self.bias = MLP(self.width("bias"), config) if "bias" in self.layouts else None
        self.of_bias = linear(self.bias.out, 1) if self.bias is not None else None
        self.head = Head(tasks, 0, terms=1)

    def _paths(self, sequence: SequenceLayout) -> Paths:
        paths = self.encoders[encoder_name("item", sequence.name)]
        assert isinstance(paths, Paths)
        return paths

    def _side(self, width: int) -> nn.Sequential:
        mlp = MLP(width, self.config)
        return nn.Sequential(mlp, linear(mlp.out, self.config.output_dim))

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        user, item = self.flat(x, "user"), x.flat("item")
        direct = (self.user_side(user).float() * self.item_side(item).float()).sum(dim=1, keepdim=True)
        strength = F.softplus(direct)  # (B, 1)
        for sequence in self.layouts["item"].sequences:
            name, paths = module_name(sequence.name), self._paths(sequence)
            query = torch.cat([x.feature("item", q) for q in sequence.query if q is not None], dim=1)
            shared = self.to_trigger[name](user), self.to_similarity[name](item)
            strength = strength + paths.paths(x.sequence(sequence.name, "item"), query, *shared)
        if self.training and self.bias is not None and self.of_bias is not None:
            strength = strength + F.softplus(in_float32(self.of_bias, self.bias(self.flat(x, "bias"))))
        with exactly(strength):
            return self.head(None, strength + torch.log(-torch.expm1(-strength.clamp_min(1e-7))))
