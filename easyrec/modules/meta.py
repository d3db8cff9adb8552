"""Layers whose weights a scenario makes: the meta unit of M2M."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easyrec.modules.mlp import linear


class MetaLinear(nn.Module):
    """``W(s) h + b(s)``, with weights that are linear in the scenario s; at s = 0 those of a plain layer.

    Shape:
        input: (B, n, width); scenario: (B, S)
        output: (B, n, units)

    Source:
        Zhang et al., "Leaving No One Behind", WSDM 2022, section 3.2.
    """

    def __init__(self, scenario: int, width: int, units: int) -> None:
        super().__init__()
        self.shape = (width, units)
        self.weight, self.bias = linear(scenario, width * units), linear(scenario, units)
        with torch.no_grad():
            self.weight.bias.copy_(linear(width, units).weight.t().flatten())

    def forward(self, input: Tensor, scenario: Tensor) -> Tensor:
        """The products."""
        weight = torch.unflatten(self.weight(scenario), 1, self.shape)  # (B, width, units)
        return torch.baddbmm(self.bias(scenario).unsqueeze(1), input.to(weight.dtype), weight)


class MetaAttention(nn.Module):
    """``sum_e a_te f_e`` with ``a_t = softmax_e(v . leaky_relu(W(s) [f_e, t] + b(s)))``, for each task vector t.

    Shape:
        experts: (B, E, H); tasks: (T, D); scenario: (B, S)
        output: (B, T, H)

    Source:
        Zhang et al., "Leaving No One Behind", WSDM 2022, section 3.3.
    """

    def __init__(self, scenario: int, width: int, task: int, units: int) -> None:
        super().__init__()
        self.of_experts, self.of_tasks = MetaLinear(scenario, width, units), MetaLinear(scenario, task, units)
        self.score = linear(units, 1, bias=False)

    def forward(self, experts: Tensor, tasks: Tensor, scenario: Tensor) -> Tensor:
        """The mixture of each task."""
        rows = tasks.unsqueeze(0).expand(experts.shape[0], -1, -1)  # (B, T, D)
        # [f, t] is never formed: a product of it is the sum of two
        of_experts, of_tasks = self.of_experts(experts, scenario), self.of_tasks(rows, scenario)
        inner = nn.functional.leaky_relu(of_experts.unsqueeze(1) + of_tasks.unsqueeze(2))  # (B, T, E, units)
        shares = torch.softmax(self.score(inner).squeeze(3).float(), dim=2)  # (B, T, E)
        return torch.bmm(shares.to(experts.dtype), experts)


class MetaTower(nn.Module):
    """Layers ``h <- leaky_relu(W(s) h + b(s) + h)``.

    Shape:
        input, output: (B, T, width); scenario: (B, S)

    Source:
        Zhang et al., "Leaving No One Behind", WSDM 2022, section 3.4.
    """

    def __init__(self, scenario: int, width: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MetaLinear(scenario, width, width) for _ in range(layers))

    def forward(self, input: Tensor, scenario: Tensor) -> Tensor:
        """The last layer."""
        for layer in self.layers:
            input = nn.functional.leaky_relu(layer(input, scenario) + input)
        return input
