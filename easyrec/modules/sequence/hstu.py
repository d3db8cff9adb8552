"""`hstu`: layers of gated attention that weighs every step by itself, by place and time between two."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.errors import ConfigError
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.dropout import Dropout
from easyrec.modules.mlp import linear
from easyrec.modules.pointwise_attention import RelativeBias, weigh
from easyrec.modules.sequence._causal import CausalEncoder
from easyrec.modules.sequence._encoder import age


class Config(EncoderConfig):
    """Config of `hstu`."""

    type: Literal["hstu"] = "hstu"
    layers: int = Field(2, gt=0)
    """Layers, one after another."""
    heads: int = Field(1, gt=0)
    """Heads of attention; their dims add up to the width of a step, or to a little more where it is not divisible."""
    dropout: float = Field(0.2, ge=0.0, lt=1.0)
    """Probability of zeroing an input, and a number that a layer mixes, while training."""
    positions: int = Field(200, ge=0)
    """Learn a vector per position counted from the newest step, equal from this one on; 0: none."""
    distances: int = Field(200, gt=0)
    """Learn a bias per distance between two steps, equal from this one on."""
    time: str | None = None
    """Child that is a number and tells when a step was: learn a bias per time between two steps. It is no part of x."""
    buckets: int = Field(64, gt=0)
    """Of that time; each is a third wider than the one before it."""


class HSTU(CausalEncoder):
    """``norm(x^K_l)`` with ``x^0_l = sqrt(D) s_l + p_l`` and layers ``x + W_2 (norm(a) * u) + b_2``.

    ``[u, v, q, k] = silu(W_1 norm(x))`` and ``a_l = sum_{j <= l} silu(<q_l, k_j> + bias_lj) v_j / l``. As in the authors'
    code layers are residual and their input is normalised.

    Source:
        Zhai et al., "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative
        Recommendations", ICML 2024, eq. (1)-(3).
    """

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        self.time = None if config.time is None else _time(layout, config.time)
        self.dim = layout.dim - (self.time is not None)
        self.positions = nn.Parameter(0.02 * torch.randn(config.positions, self.dim)) if config.positions else None
        self.layers = nn.ModuleList([_Layer(self.dim, config) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(self.dim)
        self.dropout = Dropout(config.dropout)

    def outputs(self, steps: Seq) -> Tensor:
        """(N, D), the output of each step."""
        x, times = steps.values, None
        if self.time is not None:
            start, times = self.time.start, x[:, self.time.start].float()
            x = torch.cat([x[:, :start], x[:, start + 1 :]], dim=1)
        x = x * math.sqrt(self.dim)
        if self.positions is not None:
            x = x + self.positions.index_select(0, age(steps).clamp_max(self.positions.shape[0] - 1))
        x = self.dropout(x)
        for layer in self.layers:
            x = layer(x, steps.offsets, times)
        return self.norm(x)  # type: ignore[no-any-return]


def _time(layout: SequenceLayout, name: str) -> Span:
    """The column that tells the time.

    Raises:
        ConfigError: No child is called so, it has more columns, or there is no other one.
    """
    short = {child.name.rpartition("__")[2]: child for child in layout.children}
    found = short.get(name)
    if found is None:
        raise ConfigError(f"'{layout.name}' has no child '{name}' to tell the time; it has: {', '.join(short)}")
    if found.dim != 1:
        text = f"'{name}' tells the time of a step by {found.dim} numbers, but should by one"
        raise ConfigError(f"{text}\nmake it a raw feature without embedding_dim")
    if len(short) == 1:
        raise ConfigError(
            f"'{name}' tells the time of a step, but nothing tells what it is\nadd a child, such as an id"
        )
    return found


class _Layer(nn.Module):
    """``x + W_2 (norm(a) * u) + b_2``."""

    def __init__(self, width: int, config: Config) -> None:
        super().__init__()
        self.heads, dim = config.heads, -(-width // config.heads)
        inner = config.heads * dim
        self.projected = linear(width, 4 * inner, bias=False)
        self.bias = RelativeBias(config.distances, config.buckets if config.time is not None else 0)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(inner, eps=1e-6)])
        self.out = linear(inner, width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, offsets: Tensor, times: Tensor | None) -> Tensor:
        gate, *others = torch.chunk(F.silu(self.projected(self.norms[0](x))), 4, dim=1)  # (N, inner) each
        projected = torch.unflatten(torch.stack(others, dim=1), 2, (self.heads, -1))  # (N, 3, H, d)
        mixed = self.norms[1](weigh(projected, offsets, self.bias, times).flatten(1))
        return x + self.out(self.dropout(mixed * gate))  # type: ignore[no-any-return]
