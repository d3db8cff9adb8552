"""What models share that know a user by several vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._matching import EncodedConfig, Matching, first_encoded
from easyrec.modules.mlp import MLP, MLPConfig, linear
from easyrec.modules.sequence.comirec import ComiRec
from easyrec.modules.sequence.mind import MIND


class InterestsConfig(MLPConfig, EncodedConfig):
    """Keys of these models."""

    output_dim: int | None = Field(None, gt=0)
    """D, the width of the vectors that are compared; null: that of an item."""


class Interests(Matching):
    """Logit = max_k <u_k, v> / T + b with ``u_k = W MLP([x_u, c_k])``: c_k are the interests of the user's first sequence.

    While it trains against a catalogue, the item that a user took is compared with the others by the interest that is the
    nearest to it.

    Shape:
        output: {"logit": (B,)}, before the sigmoid
    """

    def __init__(
        self, config: InterestsConfig, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]
    ) -> None:
        super().__init__(config, layouts, tasks)
        self.main, *self.others = first_encoded(self, "user", (MIND, ComiRec))
        encoder = self._encoder("user", self.main)
        self.count: int = encoder.config.interests
        width = encoder.dim // self.count
        item = self.width("item")
        dim = config.output_dim or item
        self.tower = MLP(self.width("user") - encoder.dim + width, config)
        self.out = linear(self.tower.out, dim)
        self.described = nn.Identity() if item == dim and not self.layouts["item"].dense else linear(item, dim)

    def user(self, x: Embedded) -> Tensor:
        """(B, K, D), the interests of the rows' users."""
        layout = self.layouts["user"]
        interests = torch.unflatten(self.interest(x, self.main, "user"), 1, (self.count, -1))
        parts = [x.tensors["emb:user"]] if layout.width else []
        parts += [self.interest(x, s, "user") for s in self.others]
        parts += [x.dense("user")] if layout.dense else []
        known = [part.unsqueeze(1).expand(-1, self.count, -1) for part in parts]
        together = torch.cat([interests, *known], dim=2).flatten(0, 1)
        return torch.unflatten(self.out(self.tower(together)), 0, (-1, self.count))

    def item(self, x: Embedded) -> Tensor:
        """(B, D), the items' vectors."""
        return self.described(self.flat(x, "item"))  # type: ignore[no-any-return]
