"""The cross layers of DCN-V2, the gated ones of GDCN, and those of the first DCN."""

from __future__ import annotations

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from easyrec.modules.mlp import in_float32, linear
from feature_generator.config import StrictModel, fault


class CrossConfig(StrictModel):
    """Keys of the cross layers."""

    cross_layers: int = Field(3, gt=0)
    """Number of cross layers; layer l adds crosses of degree l + 1."""
    low_rank: int | None = Field(None, gt=0)
    """Rank of the weights; omitted: full rank."""
    experts: int = Field(1, gt=0)
    """Low-rank experts that a gate mixes."""

    @model_validator(mode="after")
    def _experts_are_low_rank(self) -> Self:
        if self.experts > 1 and self.low_rank is None:
            raise fault("a mixture of experts needs 'low_rank', the rank of each", "experts")
        return self


class Cross(nn.Module):
    """Cross layers ``x_{l+1} = x_0 * f_l(x_l) + x_l``, where * is element by element.

    Full rank: ``f(x) = W x + b``. Low rank: ``f(x) = U V x + b``. Mixture:
    ``f(x) = sum_e g_e(x) U_e tanh(C_e tanh(V_e x)) + b`` with a softmax gate g.

    Shape:
        input, output: (B, width)

    Source:
        Wang et al., "DCN V2", WWW 2021, eq. (1), (2) and (4).
    """

    def __init__(self, width: int, config: CrossConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(config.cross_layers):
            if config.low_rank is None:
                layers.append(linear(width, width))
            elif config.experts == 1:
                layers.append(nn.Sequential(linear(width, config.low_rank, bias=False), linear(config.low_rank, width)))
            else:
                layers.append(Experts(width, config.low_rank, config.experts))
        self.layers = nn.ModuleList(layers)

    def forward(self, input: Tensor) -> Tensor:
        """The last layer's output."""
        x = input
        for layer in self.layers:
            x = torch.addcmul(x, input, layer(x).to(x.dtype))
        return x


class Experts(nn.Module):
    """``sum_e g_e(x) U_e tanh(C_e tanh(V_e x)) + b`` with ``g = softmax(G x)``.

    The gate scales the rank-r vectors, so that all experts share one multiplication by U.

    Shape:
        input, output: (B, width)
    """

    def __init__(self, width: int, rank: int, experts: int) -> None:
        super().__init__()
        self.shape = (experts, rank)
        self.gate = linear(width, experts)
        self.down = linear(width, experts * rank, bias=False)
        self.inner = nn.Parameter(torch.empty(experts, rank, rank))
        self.up = linear(experts * rank, width)
        for matrix in self.inner:
            nn.init.xavier_normal_(matrix)

    def forward(self, input: Tensor) -> Tensor:
        """The mixed experts."""
        gate = torch.softmax(self.gate(input), dim=1).unsqueeze(2)  # (B, E, 1)
        inner = torch.unflatten(torch.tanh(self.down(input)), 1, self.shape)  # (B, E, r)
        inner = torch.tanh(torch.einsum("ber,esr->bes", inner, self.inner))
        return self.up((gate * inner).flatten(1))  # type: ignore[no-any-return]


class GatedCross(nn.Module):
    """Cross layers ``x_{l+1} = x_0 * (W x_l + b) * sigmoid(G x_l) + x_l``, where * is element by element.

    The gate keeps of each new cross what is worth keeping. W and G are one product.

    Shape:
        input, output: (B, width)

    Source:
        Wang et al., "Towards Deeper, Lighter and Interpretable Cross Network for CTR Prediction", CIKM 2023, the gated
        cross layer.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        weights = [linear(width, 2 * width, bias=False) for _ in range(layers)]
        for layer in weights:
            for half in torch.chunk(layer.weight.detach(), 2):
                nn.init.xavier_normal_(half)
        self.weights = nn.ModuleList(weights)
        self.bias = nn.Parameter(torch.zeros(layers, width))

    def forward(self, input: Tensor) -> Tensor:
        """The last layer's output."""
        x = input
        for layer, bias in zip(self.weights, self.bias, strict=True):
            crossed, gate = torch.chunk(layer(x), 2, dim=1)
            x = torch.addcmul(x, input, ((crossed + bias) * torch.sigmoid(gate)).to(x.dtype))
        return x


class VectorCross(nn.Module):
    """Cross layers ``x_{l+1} = x_0 (x_l . w_l) + b_l + x_l``, with a vector w_l per layer.

    Every x_l is ``a_l x_0 + c_l`` with a number a_l per row and a vector c_l that all rows share, so one product of x_0
    with all w is enough: ``a_{l+1} = a_l + a_l (x_0 . w_l) + c_l . w_l`` and ``c_{l+1} = c_l + b_l``.

    Shape:
        input, output: (B, width)

    Source:
        Wang et al., "Deep & Cross Network for Ad Click Predictions", ADKDD 2017, eq. (3); the form of x_l: Lian et al.,
        "xDeepFM", KDD 2018, theorem 2.1.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.weights = linear(width, layers, bias=False)
        self.bias = nn.Parameter(torch.zeros(layers, width))

    def forward(self, input: Tensor) -> Tensor:
        """The last layer's output."""
        layers = self.bias.shape[0]
        dots = in_float32(self.weights, input)  # (B, layers), x_0 . w_l
        shift = torch.zeros_like(self.bias[0])  # c_l
        scale = torch.ones_like(dots[:, :1])  # a_l, (B, 1)
        for layer in range(layers):
            scale = scale + scale * dots[:, layer : layer + 1] + (shift * self.weights.weight[layer]).sum()
            shift = shift + self.bias[layer]
        return torch.addcmul(shift, scale, input)
