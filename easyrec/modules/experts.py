"""Several MLPs of equal layers side by side, and mixtures of what they give."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from easyrec.modules.activation import BatchNorm, activation
from easyrec.modules.dropout import Dropout
from easyrec.modules.mlp import MLPConfig, linear
from easyrec.modules.product import product


class Experts(nn.Module):
    """E MLPs with weights of their own; a layer of all of them is one product.

    Shape:
        input: (B, width), read by all, or (B, E, width), one each
        gates: for each layer (B, E, its inputs), factors of its input
        output: (B, E, hidden[-1]); `out` is that width
    """

    def __init__(self, number: int, width: int, config: MLPConfig) -> None:
        super().__init__()
        self.number = number
        self.widths = [width, *config.hidden]
        self.linears = nn.ModuleList(
            Linears(number, inputs, units) for inputs, units in zip(self.widths, config.hidden, strict=False)
        )
        self.rest = nn.ModuleList(_after(number, units, config) for units in config.hidden)
        self.out = self.widths[-1]

    def forward(self, input: Tensor, gates: Sequence[Tensor] = ()) -> Tensor:
        """The last layer of each."""
        for index, (linears, rest) in enumerate(zip(self.linears, self.rest, strict=True)):
            if gates:
                input = (input if input.dim() == 3 else input.unsqueeze(1)) * gates[index]
            input = rest(linears(input))
        return input if input.dim() == 3 else input.unsqueeze(1).expand(-1, self.number, -1)


class Linears(nn.Module):
    """E linear layers, each started as those of `MLP`.

    Shape:
        input: (B, width), read by all, or (B, E, width), one each
        output: (B, E, units)
    """

    def __init__(self, number: int, width: int, units: int) -> None:
        super().__init__()
        self.shape = (number, units)
        self.weight = nn.Parameter(torch.stack([linear(width, units).weight.detach() for _ in range(number)]))
        self.bias = nn.Parameter(torch.zeros(number, units))

    def forward(self, input: Tensor) -> Tensor:
        """The products."""
        if input.dim() == 2:
            flat = product(input, self.weight.flatten(0, 1), self.bias.flatten())  # (B, E * units)
            return torch.unflatten(flat, 1, self.shape)
        batched = torch.baddbmm(self.bias.unsqueeze(1), input.transpose(0, 1), self.weight.transpose(1, 2))
        return batched.transpose(0, 1)


class Gate(nn.Module):
    """``softmax(W_t x)`` over the experts, for each of T readers.

    Shape:
        input: (B, width), read by all, or (B, T, width), one each
        output: (B, T, E)

    Source:
        Ma et al., "MMoE", KDD 2018, section 4.2.
    """

    def __init__(self, readers: int, width: int, experts: int) -> None:
        super().__init__()
        self.scores = Linears(readers, width, experts)

    def forward(self, input: Tensor) -> Tensor:
        """The shares."""
        return torch.softmax(self.scores(input).float(), dim=2)


def mix(gate: Tensor, experts: Tensor) -> Tensor:
    """(B, T, H), the sums of the experts (B, E, H) by the shares (B, T, E)."""
    return torch.bmm(gate.to(experts.dtype), experts)


class LayerNorms(nn.Module):
    """Layer normalisation of each of E vectors, with E scales and shifts.

    Shape:
        input, output: (B, E, units)
    """

    def __init__(self, number: int, units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(number, units))
        self.bias = nn.Parameter(torch.zeros(number, units))

    def forward(self, input: Tensor) -> Tensor:
        """The normalised vectors."""
        return F.layer_norm(input, self.weight.shape[1:]) * self.weight + self.bias


class _Flat(nn.Sequential):
    """Layers over the units of all experts side by side."""

    def forward(self, input: Tensor) -> Tensor:
        shape = input.shape[1:]
        flat = input.flatten(1)
        for layer in self:
            flat = layer(flat)
        return torch.unflatten(flat, 1, shape)


def _after(number: int, units: int, config: MLPConfig) -> nn.Sequential:
    """What follows the linear layers, in the order of `MLP`."""
    norms = [BatchNorm(number * units)] if config.batch_norm else []
    last = [activation(config.activation, number * units)]
    last += [Dropout(config.dropout)] if config.dropout else []
    if config.layer_norm:
        return nn.Sequential(*([_Flat(*norms)] if norms else []), LayerNorms(number, units), _Flat(*last))
    return _Flat(*norms, *last)
