"""Crosses of any order in linear time."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class InteractionMachine(nn.Module):
    """``[s_1 .. s_K]``, where s_k is the sum of the products of all sets of k different fields, by dimension.

    From the power sums ``p_k = sum_i e_i^k`` by Newton's identities, ``k s_k = sum_{i=1..k} (-1)^(i-1) s_{k-i} p_i``, in
    O(F * D * K) for F fields. Float32, since the sums nearly cancel.

    Shape:
        fields: (B, F, D)
        output: (B, K * D)

    Args:
        order: K.

    Source:
        Yu et al., "Deep Interaction Machine", CIKM 2020, section 3.2.
    """

    def __init__(self, order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, fields: Tensor) -> Tensor:
        """The sums, order after order."""
        power, powers, sums = fields.float(), [], [torch.ones_like(fields[:, 0], dtype=torch.float32)]
        for k in range(1, self.order + 1):
            power = power if k == 1 else power * fields
            powers.append(power.sum(dim=1))  # (B, D)
            terms = [sums[k - i] * (powers[i - 1] if i % 2 else -powers[i - 1]) for i in range(1, k + 1)]
            total = terms[0]
            for term in terms[1:]:
                total = total + term
            sums.append(total / k)
        return torch.cat(sums[1:], dim=1)
