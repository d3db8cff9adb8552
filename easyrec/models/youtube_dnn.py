"""`youtube_dnn`: a tower over the user, compared with an embedding of the item that is the output's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._matching import Matching, MatchingConfig
from easyrec.modules.mlp import MLP, MLPConfig, linear


class Config(MLPConfig, MatchingConfig):
    """Config of `youtube_dnn`; the keys of an MLP are those of the user's tower."""

    type: Literal["youtube_dnn"] = "youtube_dnn"
    similarity: Literal["cosine", "dot"] = "dot"

    def uses(self) -> dict[str, GroupUse]:
        """All of `user`; and of `item`, with embeddings of its own."""
        return {"user": GroupUse(about="user"), "item": GroupUse(about="item", own=True)}


class YoutubeDNN(Matching):
    """Logit = <u, v> / T + b with ``u = W MLP(x_u)`` and v the item's features as they are embedded.

    The embeddings of `item` are not those of the user's history: they are the weights of the softmax.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Covington et al., "Deep Neural Networks for YouTube Recommendations", RecSys 2016, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        tower = MLP(self.width("user"), config)
        self.tower = nn.Sequential(tower, linear(tower.out, self.width("item")))

    def user(self, x: Embedded) -> Tensor:
        """(B, D), the users' vectors."""
        return self.tower(self.flat(x, "user"))  # type: ignore[no-any-return]

    def item(self, x: Embedded) -> Tensor:
        """(B, D), the items' embeddings and numbers side by side."""
        return self.flat(x, "item")
