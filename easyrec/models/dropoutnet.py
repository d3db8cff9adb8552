"""`dropoutnet`: two towers that learn to do without what is remembered of a user or an item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._matching import Matching, MatchingConfig
from easyrec.modules.mlp import MLP, MLPConfig, linear


class Config(MLPConfig, MatchingConfig):
    """Config of `dropoutnet`; the keys of an MLP are those of both towers."""

    item_groups: ClassVar[tuple[str, ...]] = ("item_memory", "item_content")

    type: Literal["dropoutnet"] = "dropoutnet"
    output_dim: int = Field(64, gt=0)
    """D, the width of the vectors that are compared."""
    forget_users: float = Field(0.5, ge=0.0, lt=1.0)
    """Probability that a row's user is known by content alone, while training."""
    forget_items: float = Field(0.5, ge=0.0, lt=1.0)
    """Probability that an item is known by content alone, while training."""

    def uses(self) -> dict[str, GroupUse]:
        """Memory and content of users and of items."""
        sides: tuple[Literal["user", "item"], ...] = ("user", "item")
        return {f"{side}_{part}": GroupUse(about=side) for side in sides for part in ("memory", "content")}


class DropoutNet(Matching):
    """Logit = <u, v> / T + b with ``u = W_u MLP_u([m_u g_u, c_u])`` and ``v = W_v MLP_v([m_v g_v, c_v])``.

    m is what is remembered of a user or an item, such as its id, c what it has in common with others. While it trains,
    each g is 0 with the probability that the config says, else 1: so the towers learn what to make of a user or an item
    of which nothing is remembered yet, whose m is 0.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Volkovs et al., "DropoutNet: Addressing Cold Start in Recommender Systems", NIPS 2017, section 4.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.user_tower, self.item_tower = self._tower("user"), self._tower("item")

    def _tower(self, side: str) -> nn.Sequential:
        mlp = MLP(self.width(f"{side}_memory") + self.width(f"{side}_content"), self.config)
        return nn.Sequential(mlp, linear(mlp.out, self.config.output_dim))

    def user(self, x: Embedded) -> Tensor:
        """(B, D), the users' vectors."""
        return self.user_tower(self._known(x, "user", self.config.forget_users))  # type: ignore[no-any-return]

    def item(self, x: Embedded) -> Tensor:
        """(B, D), the items' vectors."""
        return self.item_tower(self._known(x, "item", self.config.forget_items))  # type: ignore[no-any-return]

    def _known(self, x: Embedded, side: str, forget: float) -> Tensor:
        memory, content = self.flat(x, f"{side}_memory"), self.flat(x, f"{side}_content")
        if self.training and forget:
            memory = memory * (torch.rand(memory.shape[0], 1, device=memory.device) >= forget)
        return torch.cat([memory, content], dim=1)
