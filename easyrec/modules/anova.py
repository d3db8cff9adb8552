"""The ANOVA kernel: crosses of exactly so many different fields."""

from __future__ import annotations

from torch import Tensor, nn


class Anova(nn.Module):
    """``sum_{i_1 < .. < i_m} sum_d e_{i_1 d} .. e_{i_m d}``, all products of m different fields, in O(m F D).

    With ``a_1(j) = e_j`` and ``a_t(j) = e_j * (a_{t-1}(1) + .. + a_{t-1}(j - 1))``, the products of t fields whose last
    is j, it is the sum of a_m. Nothing is subtracted, so nothing cancels.

    Shape:
        fields: (B, F, D)
        output: (B, 1), unscaled logit; 0 where F < m

    Args:
        order: m, two or more.

    Source:
        Blondel et al., "Higher-Order Factorization Machines", NIPS 2016: the kernel and its recursion, section 3.
    """

    def __init__(self, order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, fields: Tensor) -> Tensor:
        """The sum over the products."""
        last = fields  # a_t, (B, F - t + 1, D)
        for skipped in range(1, self.order):
            last = fields[:, skipped:] * last.cumsum(dim=1)[:, :-1]
        return last.sum(dim=(1, 2)).unsqueeze(1)
