"""A row's vectors pooled by weights that each vector earns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easyrec.modules.mlp import linear


class AttentivePooling(nn.Module):
    """``sum_j a_j x_j`` with ``a = softmax_j(c . relu(W x_j + b))``.

    Shape:
        input: (B, n, width)
        output: (B, width)

    Source:
        Li et al., "Interpretable Click-Through Rate Prediction through Hierarchical Attention", WSDM 2020, section 3.3.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.hidden, self.score = linear(width, hidden), linear(hidden, 1, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """The pooled vectors."""
        scores = self.score(torch.relu(self.hidden(input.flatten(0, 1)))).float()  # (B n, 1)
        weights = torch.softmax(torch.unflatten(scores, 0, input.shape[:2]), dim=1)
        return torch.bmm(weights.transpose(1, 2).to(input.dtype), input).squeeze(1)
