"""Gates that choose features, for all rows or by a context."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easyrec.modules.mlp import MLP, MLPConfig, linear


class FeatureGate(nn.Module):
    """``2 sigmoid(g) * x`` with ``g = MLP(context)``, or without a context a learned vector, 0 at the start.

    An MLP of a learned constant would be such a vector, too.

    Shape:
        x: (B, width); context: (B, of), or None where `of` is 0
        output: (B, width)

    Source:
        Mao et al., "FinalMLP", AAAI 2023, eq. (5) and (6).
    """

    def __init__(self, width: int, of: int, config: MLPConfig) -> None:
        super().__init__()
        self.hidden = MLP(of, config) if of else None
        self.gate = linear(self.hidden.out, width) if self.hidden is not None else None
        self.constant = nn.Parameter(torch.zeros(width)) if self.hidden is None else None

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The features, each times its gate."""
        logits = self.constant
        if self.hidden is not None and self.gate is not None and context is not None:
            logits = self.gate(self.hidden(context))
        assert logits is not None
        return 2.0 * torch.sigmoid(logits) * x
