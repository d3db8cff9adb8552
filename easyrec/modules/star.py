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

    The weights of all domains are applied, and the row's domain picks one result. W_d starts at 1, b_d at 0; they stay
    so for a row without a domain.

    Shape:
        input: (B, width); domain: (B, N), one-hot, or all 0 for a row without a domain
        output: (B, units)

    Source:
        Sheng et al., "One Model to Serve All", CIKM 2021, section 3.4.
    """

    def __init__(self, domains: int, width: int, units: int) -> None:
        super().__init__()
        self.shape = (domains + 1, units)
        self.shared = linear(width, units)
        self.weight = nn.Parameter(torch.ones(domains, units, width))
        self.bias = nn.Parameter(torch.zeros(domains, units))

    def forward(self, input: Tensor, domain: Tensor) -> Tensor:
        """The layer."""
        weights = torch.cat([(self.weight * self.shared.weight).flatten(0, 1), self.shared.weight])
        everywhere = torch.unflatten(product(input, weights), 1, self.shape)  # (B, N + 1, units)
        biased = everywhere + torch.cat([self.bias, torch.zeros_like(self.bias[:1])])
        chosen = torch.cat([domain, 1.0 - domain.sum(dim=1, keepdim=True)], dim=1)  # (B, N + 1)
        return torch.bmm(chosen.to(biased.dtype).unsqueeze(1), biased).squeeze(1) + self.shared.bias


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
    domain with fewer than two rows in the batch too. A row without a domain has g_d = 1, b_d = 0 and the mean of the
    moving averages over the domains that have any, which also stands in for those of a domain without.

    Shape:
        input, output: (B, width); domain: (B, N), one-hot, or all 0 for a row without a domain

    Source:
        Sheng et al., "One Model to Serve All", CIKM 2021, section 3.3.
    """

    mean: Tensor
    var: Tensor
    known: Tensor

    def __init__(self, domains: int, width: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.scales, self.shifts = nn.Parameter(torch.ones(domains, width)), nn.Parameter(torch.zeros(domains, width))
        self.register_buffer("mean", torch.zeros(domains, width))
        self.register_buffer("var", torch.ones(domains, width))
        self.register_buffer("known", torch.zeros(domains, 1))

    def forward(self, input: Tensor, domain: Tensor) -> Tensor:
        """The normalised rows."""
        none = 1.0 - domain.sum(dim=1, keepdim=True)  # (B, 1)
        index = torch.cat([domain, none], dim=1).argmax(dim=1)  # (B,), N for a row without a domain
        every = self._averages()
        mean, var = self._batch(input, index, every) if self.training else (of[:-1] for of in every)
        mean, var = torch.cat([mean, every[0][-1:]]), torch.cat([var, every[1][-1:]])
        normal = (input - mean.index_select(0, index)) * torch.rsqrt(var.index_select(0, index) + self.eps)
        own = domain.unsqueeze(1)  # (B, 1, N)
        scale, shift = ((own * of.t()).sum(dim=2) for of in (self.scales, self.shifts))
        return normal * (self.scale * (scale + none)) + self.shift + shift

    def _averages(self) -> tuple[Tensor, Tensor]:
        """(N + 1, width) each, the moving averages, their mean over the known domains last and where a domain has none."""
        share = self.known / self.known.sum().clamp_min(1)  # (N, 1)
        mean = (self.mean * share).sum(dim=0, keepdim=True)
        var = (self.var * share).sum(dim=0, keepdim=True) + (1 - share.sum())  # 1 where none is known
        known = self.known > 0
        return (
            torch.cat([torch.where(known, self.mean, mean), mean]),
            torch.cat([torch.where(known, self.var, var), var]),
        )

    def _batch(self, input: Tensor, index: Tensor, every: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Statistics of the domains' rows, which the moving averages take in."""
        domains = len(self.mean)
        number = torch.bincount(index, minlength=domains + 1).unsqueeze(1)  # (N + 1, 1)
        zeros = self.mean.new_zeros(domains + 1, self.mean.shape[1])
        mean = zeros.index_add(0, index, input) / number.clamp_min(1)
        squares = (input - mean.index_select(0, index)).square()
        var = zeros.index_add(0, index, squares) / number.clamp_min(1)
        number, mean, var = number[:domains], mean[:domains], var[:domains]
        enough = number >= 2
        with torch.no_grad():
            share = self.momentum * enough
            self.mean += share * (mean - self.mean)
            self.var += share * (var * number / (number - 1).clamp_min(1) - self.var)
            self.known.copy_(torch.maximum(self.known, enough.to(self.known.dtype)))
        return torch.where(enough, mean, every[0][:-1]), torch.where(enough, var, every[1][:-1])
