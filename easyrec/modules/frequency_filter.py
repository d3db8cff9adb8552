"""A filter over the frequencies of each row's steps."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.modules.alike import Padding, in_groups, in_turns
from easyrec.modules.mlp import exactly
from easyrec.modules.sequence._encoder import age, sum_steps


class FrequencyFilter(nn.Module):
    """``irfft(W * rfft(x))`` of each row, whose newest step stands at the end of N places and zeros before its first.

    That is a circular convolution, ``y_l = sum_j k_(l - j mod N) x_j`` with ``k = irfft(W)``, which needs no step that is
    not there: rows cost what they are long.

    Shape:
        x: (n, width), no row of more than N steps; offsets: (B+1,)
        output: (n, width)

    Args:
        width: Columns; each has a filter of its own.
        length: N.

    Source:
        Zhou et al., "Filter-enhanced MLP is All You Need for Sequential Recommendation", WWW 2022, section 3.2.
    """

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.length = length
        frequencies = length // 2 + 1
        self.weight = nn.Parameter(0.02 * torch.randn(2, frequencies, width))  # real and imaginary parts
        angles = 2 * math.pi / length * torch.outer(torch.arange(length), torch.arange(frequencies))
        often = torch.full((frequencies,), 2.0)  # all but the outer frequencies stand for their conjugates too
        often[0] = 1.0
        if length % 2 == 0:
            often[-1] = 1.0
        self.waves: Tensor
        waves = torch.cat([often * torch.cos(angles), -often * torch.sin(angles)], dim=1) / length
        self.register_buffer("waves", waves, persistent=False)  # (N, 2 frequencies)

    def kernel(self) -> Tensor:
        """(N, width), what a step adds to the one that is so many places newer."""
        return self.waves @ self.weight.flatten(0, 1)

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        """The filtered steps, float32."""
        with exactly(x):
            if torch.compiler.is_exporting():
                return self._captured(x.float(), offsets)
            return self._in_groups(x.float(), offsets)

    def _in_groups(self, x: Tensor, offsets: Tensor) -> Tensor:
        kernel = self.kernel()

        def filtered(lengths: Tensor, longest: int, x: Tensor) -> Tensor:
            padding = Padding(lengths, longest, x.shape[0])
            within = torch.arange(longest, device=x.device)
            return padding.taken(self._convolved(kernel, padding.filled(x), within))

        found: Tensor = in_groups(filtered, offsets, x) if x.shape[0] else x
        return found

    def _captured(self, x: Tensor, offsets: Tensor) -> Tensor:
        kernel, source = self.kernel(), torch.cat([x, x.new_zeros(1, x.shape[1])])
        return in_turns(lambda filled, within: self._convolved(kernel, filled, within), offsets, source, x.shape[1])

    def _convolved(self, kernel: Tensor, x: Tensor, within: Tensor) -> Tensor:
        """(R, L, width), ``sum_j k_(l - j mod N) x_j``."""
        between = torch.remainder(within.unsqueeze(1) - within, self.length)  # (L, L)
        weights = kernel.index_select(0, between.flatten()).view(*between.shape, -1)  # (L, L, width)
        return torch.bmm(weights.permute(2, 0, 1), x.permute(2, 1, 0)).permute(2, 1, 0)

    def newest(self, x: Tensor, steps: Seq) -> Tensor:
        """(B, width) float32, the filtered newest step of each row alone; zeros where there is none."""
        with exactly(x):
            return sum_steps(x.float() * self.kernel().index_select(0, age(steps)), steps)
