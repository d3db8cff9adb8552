"""`dssm`: two towers, one over the user and one over the item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._matching import Matching, MatchingConfig
from easyrec.modules.mlp import MLP, Layers, MLPConfig, linear
from easyrec.modules.side_by_side import Part, SideBySide


class Config(MLPConfig, MatchingConfig):
    """Config of `dssm`; the keys of an MLP are those of both towers."""

    type: Literal["dssm"] = "dssm"
    user_tower: Layers | None = None
    """Layers of the user's tower where they differ; a list is their `hidden`."""
    item_tower: Layers | None = None
    """Layers of the item's tower where they differ."""
    parallel: list[Part] = []
    """Parts of both towers that read the same and stand side by side, in place of the MLP."""
    output_dim: int = Field(64, gt=0)
    """D, the width of the vectors that are compared."""
    separate_embeddings: bool = False
    """Features that both groups read have an embedding in each."""

    @model_validator(mode="after")
    def _towers_are_either(self) -> Self:
        if self.parallel:
            keys = [*MLPConfig.model_fields, "user_tower", "item_tower"]
            self.refuse(
                keys,
                "is of towers that are one MLP\nwith 'parallel' give it to a part, such as {type: mlp, hidden: [64]}",
            )
        return self

    def uses(self) -> dict[str, GroupUse]:
        """All of `user` and of `item`."""
        own = {"own": True} if self.separate_embeddings else {}
        return {name: use.model_copy(update=own) for name, use in super().uses().items()}


class DSSM(Matching):
    """Logit = <u, v> / T + b with ``u = W_u MLP_u(x_u)`` and ``v = W_v MLP_v(x_v)``.

    With `parallel` a tower is ``W [f_1(x), f_2(x), ...]``.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Huang et al., "Learning Deep Structured Semantic Models for Web Search using Clickthrough Data", CIKM 2013,
        eq. (3)-(5).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.user_tower = self._tower("user", config.user_tower)
        self.item_tower = self._tower("item", config.item_tower)

    def _tower(self, side: str, layers: MLPConfig | None) -> nn.Sequential:
        width, parallel = self.width(side), self.config.parallel
        tower = SideBySide(width, parallel) if parallel else MLP(width, layers or self.config)
        return nn.Sequential(tower, linear(tower.out, self.config.output_dim))

    def user(self, x: Embedded) -> Tensor:
        """(B, D), the users' vectors."""
        return self.user_tower(self.flat(x, "user"))  # type: ignore[no-any-return]

    def item(self, x: Embedded) -> Tensor:
        """(B, D), the items' vectors."""
        return self.item_tower(self.flat(x, "item"))  # type: ignore[no-any-return]
