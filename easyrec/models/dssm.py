"""`dssm`: two towers, one over the user and one over the item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._matching import Matching, MatchingConfig
from easyrec.modules.mlp import MLP, Layers, MLPConfig, linear


class Config(MLPConfig, MatchingConfig):
    """Config of `dssm`; the keys of an MLP are those of both towers."""

    type: Literal["dssm"] = "dssm"
    user_tower: Layers | None = None
    """Layers of the user's tower where they differ; a list is their `hidden`."""
    item_tower: Layers | None = None
    """Layers of the item's tower where they differ."""
    output_dim: int = Field(64, gt=0)
    """D, the width of the vectors that are compared."""
    separate_embeddings: bool = False
    """Features that both groups read have an embedding in each."""

    def uses(self) -> dict[str, GroupUse]:
        """All of `user` and of `item`."""
        own = {"own": True} if self.separate_embeddings else {}
        return {name: use.model_copy(update=own) for name, use in super().uses().items()}


class DSSM(Matching):
    """Logit = <u, v> / T + b with ``u = W_u MLP_u(x_u)`` and ``v = W_v MLP_v(x_v)``.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Huang et al., "Learning Deep Structured Semantic Models for Web Search using Clickthrough Data", CIKM 2013,
        eq. (3)-(5).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        user = MLP(self.width("user"), config.user_tower or config)
        item = MLP(self.width("item"), config.item_tower or config)
        self.user_tower = nn.Sequential(user, linear(user.out, config.output_dim))
        self.item_tower = nn.Sequential(item, linear(item.out, config.output_dim))

    def user(self, x: Embedded) -> Tensor:
        """(B, D), the users' vectors."""
        return self.user_tower(self.flat(x, "user"))  # type: ignore[no-any-return]

    def item(self, x: Embedded) -> Tensor:
        """(B, D), the items' vectors."""
        return self.item_tower(self.flat(x, "item"))  # type: ignore[no-any-return]
