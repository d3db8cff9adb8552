"""The dense inputs of a row as one field more."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easyrec.modules.mlp import MLP, MLPConfig


class DenseField(nn.Module):
    """``[e_1 .. e_F, MLP(x)]``, the fields and one of their dim that an MLP makes of the dense inputs x.

    Shape:
        fields: (B, F, D)
        dense: (B, n)
        output: (B, F + 1, D)

    Args:
        width: n.
        dim: D, the width of a last layer above those of `config`.
        config: The MLP.

    Source:
        Naumov et al., "Deep Learning Recommendation Model for Personalization and Recommendation Systems", 2019,
        section 2.2.
    """

    def __init__(self, width: int, dim: int, config: MLPConfig) -> None:
        super().__init__()
        self.mlp = MLP(width, config.model_copy(update={"hidden": [*config.hidden, dim]}))

    def forward(self, fields: Tensor, dense: Tensor) -> Tensor:
        """All fields."""
        return torch.cat([fields, self.mlp(dense).unsqueeze(1).to(fields.dtype)], dim=1)
