"""Experts under a hierarchy of who may read whom: the levels of HoME."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easyrec.modules.experts import Experts, Linears, mix
from easyrec.modules.mlp import MLPConfig


class GatedExperts(nn.Module):
    """R readers of E experts: ``z_r = sum_e g_re f_e + sum_e o_re f_e``.

    g is a softmax over the experts that r may read; o, the self-gate, one over the experts that are r's own, or the
    sigmoid of the score where r has one. The fea-gate of an expert scales its input by ``2 s(B_e A_e x)``.

    Shape:
        input: (B, width), read by all experts, or (B, E, width), one each
        about: (B, gates), read by the gates of all readers, or (B, R, gates), one each
        output: (B, R, expert.hidden[-1]); `out` is that width

    Args:
        width: Width of an expert's input.
        gates: Width of what the gates read.
        allowed: (R, E) whether a reader may read an expert.
        own: (R, E) whether an expert is a reader's own.
        config: Layers of an expert.
        rank: Width of A_e x; 0 leaves fea-gates out.

    Source:
        Wang et al., "HoME", arXiv 2408.05430, section 3.
    """

    allowed: Tensor
    own: Tensor

    def __init__(self, width: int, gates: int, allowed: Tensor, own: Tensor, config: MLPConfig, rank: int) -> None:
        super().__init__()
        readers, number = allowed.shape
        self.experts, self.out = Experts(number, width, config), config.hidden[-1] if config.hidden else width
        self.down = Linears(number, width, rank) if rank else None
        self.up = Linears(number, rank, width) if rank else None
        self.gate, self.self_gate = Linears(readers, gates, number), Linears(readers, gates, number)
        self.register_buffer("allowed", allowed, persistent=False)
        self.register_buffer("own", own, persistent=False)
        self.alone = bool((own.sum(dim=1) == 1).all())

    def forward(self, input: Tensor, about: Tensor) -> Tensor:
        """What the readers make of the experts."""
        if self.down is not None and self.up is not None:
            factors = 2.0 * torch.sigmoid(self.up(self.down(input)))  # (B, E, width)
            input = (input if input.dim() == 3 else input.unsqueeze(1)) * factors
        experts = self.experts(input)  # (B, E, H)
        shares = torch.softmax(self.gate(about).float().masked_fill(~self.allowed, -torch.inf), dim=2)
        scores = self.self_gate(about).float().masked_fill(~self.own, -torch.inf)  # (B, R, E)
        return mix(shares + (torch.sigmoid(scores) if self.alone else torch.softmax(scores, dim=2)), experts)
