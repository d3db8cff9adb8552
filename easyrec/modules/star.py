"""The star topology of STAR: weights of a domain times weights that all domains share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easyrec.modules.activation import BatchNorm, activation
from easyrec.modules.dropout import Dropout
from easyrec.modules.mlp import MLPConfig, linear
from easyrec.modules.product import product


class StarLinear(nn.Module):
    """``(W * W_d) x + b + b_d`` for a row of domain d, where * is element by element.

    The weights of all domains are applied, and the row's domain picks one result. W_d starts at 1, b_d at 0.

    Shape:
        input: (B, width); domain: (B, N), one-hot
        output: (B, units)

    Source:
        Sheng et al., "One Model to Serve All", CIKM 2021, section 3.4.
    """

    def __init__(self, domains: int, width: int, units: int) -> None:
        super().__init__()
        self.shape = (domains, units)
        self.shared = linear(width, units)
        self.weight = nn.Parameter(torch.ones(domains, units, width))
        self.bias = nn.Parameter(torch.zeros(domains, units))

    def forward(self, input: Tensor, domain: Tensor) -> Tensor:
        """The layer."""
        weights = self.weight * self.shared.weight  # (N, units, width)
        everywhere = torch.unflatten(product(input, weights.flatten(0, 1)), 1, self.shape)  # (B, N, units)
        biased = everywhere + self.bias
        return torch.bmm(domain.to(biased.dtype).unsqueeze(1), biased).squeeze(1) + self.shared.bias


class StarMLP(nn.Module):
    """Layers of ``dropout(activation(norm(StarLinear)))``.

    Shape:
        input: (B, width); domain: (B, N), one-hot
        output: (B, hidden[-1]); `out` is that width
    """

    def __init__(self, domains: int, width: int, config: MLPConfig) -> None:
        super().__init__()
        layers, rest = [], []
        for units in config.hidden:
            layers.append(StarLinear(domains, width, units))
            after: list[nn.Module] = [BatchNorm(units)] if config.batch_norm else []
            after += [nn.LayerNorm(units)] if config.layer_norm else []
            after += [activation(config.activation, units)]
            after += [Dropout(config.dropout)] if config.dropout else []
            rest.append(nn.Sequential(*after))
            width = units
        self.layers, self.rest, self.out = nn.ModuleList(layers), nn.ModuleList(rest), width

    def forward(self, input: Tensor, domain: Tensor) -> Tensor:
        """The last layer."""
        for layer, rest in zip(self.layers, self.rest, strict=True):
            input = rest(layer(input, domain))
        return input


class PartitionedNorm(nn.Module):
    """``g g_d (x - mean_d) / sqrt(var_d + eps) + b + b_d`` for a row of domain d.

    Mean and variance are those of the domain's rows in the batch, in evaluation the moving averages of its batches; of a
    domain with fewer than two rows in the batch too.

    Shape:
        input, output: (B, width); domain: (B, N), one-hot

    Source:
        Sheng et al., "One Model to Serve All", CIKM 2021, section 3.3.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, domains: int, width: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.scales, self.shifts = nn.Parameter(torch.ones(domains, width)), nn.Parameter(torch.zeros(domains, width))
        self.register_buffer("mean", torch.zeros(domains, width))
        self.register_buffer("var", torch.ones(domains, width))

    def forward(self, input: Tensor, domain: Tensor) -> Tensor:
        """The normalised rows."""
        index = domain.argmax(dim=1)  # (B,)
        mean, var = self._batch(input, index) if self.training else (self.mean, self.var)
        normal = (input - mean.index_select(0, index)) * torch.rsqrt(var.index_select(0, index) + self.eps)
        own = domain.unsqueeze(1)  # (B, 1, N)
        scale, shift = ((own * of.t()).sum(dim=2) for of in (self.scales, self.shifts))
        return normal * (self.scale * scale) + self.shift + shift

    def _batch(self, input: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Statistics of the domains' rows, which the moving averages take in."""
        number = torch.bincount(index, minlength=len(self.mean)).unsqueeze(1)  # (N, 1)
        zeros = torch.zeros_like(self.mean)
        mean = zeros.index_add(0, index, input) / number.clamp_min(1)
        squares = (input - mean.index_select(0, index)).square()
        var = zeros.index_add(0, index, squares) / number.clamp_min(1)
        enough = number >= 2
        with torch.no_grad():
            share = self.momentum * enough
            self.mean += share * (mean - self.mean)
            self.var += share * (var * number / (number - 1).clamp_min(1) - self.var)
        return torch.where(enough, mean, self.mean), torch.where(enough, var, self.var)
