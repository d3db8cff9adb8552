"""Convolutions along the fields, with the pooling that keeps their largest numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from easyrec.modules.mlp import Widths
from feature_generator.config import StrictModel, fault


class FieldConvolutionConfig(StrictModel):
    """Keys of convolutions along the fields."""

    channels: Widths = Field([4, 4, 2], min_length=1)
    """Feature maps of each layer."""
    windows: Widths = Field([6, 5, 3], min_length=1)
    """Neighbouring fields that each layer looks at, one number per layer."""

    @model_validator(mode="after")
    def _one_window_per_layer(self) -> Self:
        if len(self.channels) != len(self.windows):
            counts = f"{len(self.channels)} and {len(self.windows)}"
            raise fault(f"'channels' and 'windows' must be of equally many layers, but have {counts}", "windows")
        return self


class FieldConvolutions(nn.Module):
    """Layers of ``tanh(largest_p(W * s))``, a wide convolution along the fields and flexible p-max pooling.

    Every column of the embeddings is convolved by the same weights. Of n fields, layer i of l keeps
    ``p = (1 - (i / l)^(l - i)) n``, three at least, and the last layer three.

    Shape:
        fields: (B, F, D)
        output: (B, channels[-1], p, D); `out` is the number of numbers of a row

    Source:
        Liu et al., "A Convolutional Click Prediction Model", CIKM 2015, section 3.
    """

    def __init__(self, fields: int, dim: int, config: FieldConvolutionConfig) -> None:
        super().__init__()
        self.layers, self.kept, before = nn.ModuleList(), kept(fields, config.windows), 1
        for channels, window in zip(config.channels, config.windows, strict=True):
            layer = nn.Conv2d(before, channels, (window, 1), padding=(window - 1, 0))
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            self.layers.append(layer)
            before = channels
        self.out = before * self.kept[-1] * dim

    def forward(self, fields: Tensor) -> Tensor:
        """The last layer's maps, in float32: rounded numbers would be other numbers' largest."""
        if torch.is_autocast_enabled(fields.device.type):
            with torch.autocast(fields.device.type, enabled=False):
                return self._maps(fields.float())
        return self._maps(fields)

    def _maps(self, fields: Tensor) -> Tensor:
        maps = fields.unsqueeze(1)  # (B, 1, F, D)
        for layer, count in zip(self.layers, self.kept, strict=True):
            maps = torch.tanh(largest(layer(maps), count))
        return maps


def kept(fields: int, windows: Sequence[int]) -> list[int]:
    """How many numbers each layer keeps of a column; never more than there are."""
    found, length, last = [], fields, len(windows)
    for layer, window in enumerate(windows, start=1):
        share = 1.0 - (layer / last) ** (last - layer) if layer < last else 0.0
        length = min(max(3, int(share * fields)), length + window - 1)
        found.append(length)
    return found


def largest(maps: Tensor, count: int) -> Tensor:
    """(B, C, count, D), the largest numbers along dim 2, in the order in which they stood."""
    places = maps.topk(count, dim=2, sorted=False).indices.sort(dim=2).values
    return maps.gather(2, places)
