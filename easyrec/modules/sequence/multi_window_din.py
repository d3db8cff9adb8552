"""`multi_window_din`: target attention, pooled over several windows of steps."""

from __future__ import annotations

from itertools import accumulate
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import Self

from easyrec.batch import Seq
from easyrec.layout import SequenceLayout
from easyrec.modules.sequence import din
from easyrec.modules.sequence._encoder import age
from feature_generator.config import fault


class Config(din.Config):
    """Config of `multi_window_din`."""

    type: Literal["multi_window_din"] = "multi_window_din"  # type: ignore[assignment]
    windows: list[Annotated[int, Field(gt=0)]] = Field([1, 4, 15, 30, 150], min_length=1)
    """Lengths of the windows: the newest steps, those before them, and so on. Older steps are left out."""

    @model_validator(mode="after")
    def _windows_are_means(self) -> Self:
        if self.softmax:
            text = "windows are means over their steps, whose weights do not share a sum\nleave 'softmax' out"
            raise fault(text, "softmax")
        return self


class MultiWindowDIN(din.DIN):
    """``[sum_{l in w} a(q, s_l) s_l / |w|]_w``, the weights those of `din`, for one window of steps after the other.

    |w| is the number of the row's steps in the window.

    Shape:
        output: (B, windows * D), the newest window first

    Source:
        The encoder of this name in TorchEasyRec.
    """

    stepwise = False

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        self.windows = tuple(config.windows)
        self.dim = len(self.windows) * layout.dim

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, windows * D), the interest of each window."""
        assert query is not None
        weights, count = self.weights(steps, query), len(self.windows)
        ends = torch.tensor(list(accumulate(self.windows)), device=weights.device)
        old = age(steps)
        window = (old.unsqueeze(1) >= ends).sum(1)  # (N,), `count` for those behind the last
        places = steps.rows * (count + 1) + window
        rows = steps.offsets.shape[0] - 1
        zeros = weights.new_zeros(rows * (count + 1), self.layout.dim)
        sums = zeros.index_add(0, places, weights.unsqueeze(1) * steps.values.float()).view(
            rows, count + 1, self.layout.dim
        )
        sizes = torch.tensor(self.windows, device=weights.device)
        filled = torch.minimum((steps.offsets.diff().unsqueeze(1) - (ends - sizes)).clamp_min(1), sizes)  # (B, windows)
        return (sums[:, :count] / filled.unsqueeze(2)).flatten(1)
