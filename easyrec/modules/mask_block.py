"""The mask blocks of MaskNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easyrec.modules.activation import Activation, activation
from easyrec.modules.dropout import Dropout
from easyrec.modules.mlp import linear


class MaskBlock(nn.Module):
    """``act(norm(W (mask(e) * h)))`` with ``mask(e) = W_2 relu(W_1 e + b_1) + b_2``.

    Shape:
        embedded: (B, embedded), what the mask is made of
        hidden: (B, width), what is masked
        output: (B, units)

    Args:
        embedded: Width of e.
        width: Width of h.
        units: Width of the output.
        reduction: Width of the mask's hidden layer, as a multiple of `width`.
        layer_norm: Normalise the output over its units, before the activation.
        function: The activation.
        dropout: Probability of zeroing a unit of the output while training.

    Source:
        Wang et al., "MaskNet", DLP-KDD 2021, eq. (5) and (10).
    """

    def __init__(
        self,
        embedded: int,
        width: int,
        units: int,
        *,
        reduction: float,
        layer_norm: bool,
        function: Activation,
        dropout: float,
    ) -> None:
        super().__init__()
        inner = max(1, int(width * reduction))
        self.down, self.up = linear(embedded, inner), linear(inner, width)
        layers: list[nn.Module] = [linear(width, units, bias=not layer_norm)]
        layers += [nn.LayerNorm(units)] if layer_norm else []
        layers += [activation(function, units)]
        layers += [Dropout(dropout)] if dropout else []
        self.hidden = nn.Sequential(*layers)

    def forward(self, embedded: Tensor, hidden: Tensor) -> Tensor:
        """The masked vector's layer."""
        mask = self.up(torch.relu(self.down(embedded)))
        return self.hidden(mask * hidden)  # type: ignore[no-any-return]


class FieldNorm(nn.Module):
    """Layer normalisation of each field over its dimensions, with a scale and a shift of its own.

    Shape:
        input, output: (B, F, D)

    Source:
        Wang et al., "MaskNet", DLP-KDD 2021, eq. (8).
    """

    def __init__(self, fields: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(fields, dim))
        self.bias = nn.Parameter(torch.zeros(fields, dim))

    def forward(self, input: Tensor) -> Tensor:
        """The normalised fields."""
        return torch.addcmul(self.bias, nn.functional.layer_norm(input, input.shape[2:]), self.weight)
