"""`text_cnn`: convolutions over neighbouring steps, for the tokens of a text."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.config.model import EncoderConfig
from easyrec.layout import SequenceLayout
from easyrec.modules.activation import activation
from easyrec.modules.mlp import linear
from easyrec.modules.sequence._encoder import SequenceEncoder


class Config(EncoderConfig):
    """Config of `text_cnn`."""

    type: Literal["text_cnn"] = "text_cnn"
    windows: list[Annotated[int, Field(gt=0, le=64)]] = Field([2, 3, 4], min_length=1)
    """Numbers of neighbouring steps that a filter sees."""
    filters: int = Field(16, gt=0)
    """Filters per window."""
    dim: int | None = Field(None, gt=0)
    """Width of the encoded text, by a projection of what the filters found; omitted: as wide as a step."""


class TextCNN(SequenceEncoder):
    """``W [c_2, c_3, c_4]`` with ``c_w = max_l relu(K_w [s_l, .., s_{l+w-1}] + b_w)`` over the steps l of a row.

    Beyond a row's last step stand zeros, so that a text shorter than a window is seen too.

    Source:
        Kim, "Convolutional neural networks for sentence classification", EMNLP 2014, eq. (1)-(3).
    """

    needs_query = False

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        self.dim = config.dim or layout.dim
        self.convolutions = nn.ModuleList(linear(w * layout.dim, config.filters) for w in config.windows)
        self.relu = activation("relu", config.filters)
        self.project = linear(config.filters * len(config.windows), self.dim, bias=False)

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, dim), zeros for rows without steps."""
        values, rows = steps.values, steps.rows
        count, widest = values.shape[0], max(self.config.windows) - 1
        padded = torch.cat([values, values.new_zeros(widest, values.shape[1])])
        padded_rows = torch.cat([rows, rows.new_full((widest,), -1)])
        neighbours = [values]
        for shift in range(1, widest + 1):
            same = padded_rows.narrow(0, shift, count) == rows
            neighbours.append(padded.narrow(0, shift, count) * same.unsqueeze(1).to(values.dtype))
        found = []
        for window, convolution in zip(self.config.windows, self.convolutions, strict=True):
            seen = self.relu(convolution(torch.cat(neighbours[:window], dim=1))).float()  # (N, filters)
            zeros = seen.new_zeros(steps.offsets.shape[0] - 1, seen.shape[1])
            index = rows.unsqueeze(1).expand_as(seen)
            found.append(zeros.scatter_reduce(0, index, seen, "amax"))  # (B, filters)
        projected: Tensor = self.project(torch.cat(found, dim=1))
        return projected.float()
