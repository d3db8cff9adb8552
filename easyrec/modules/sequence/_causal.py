"""Encoders that read a sequence from the oldest step on, and give one vector after each step."""

from __future__ import annotations

import torch
from torch import Tensor

from easyrec.batch import Seq
from easyrec.modules.sequence._encoder import SequenceEncoder


class CausalEncoder(SequenceEncoder):
    """The output after the newest step; an encoder defines `outputs`."""

    needs_query = False

    def outputs(self, steps: Seq) -> Tensor:
        """(N, dim), what is known after each step: of that step and of older ones of its row."""
        raise TypeError(f"{type(self).__name__} must define outputs")

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, dim) float32, what is known after the newest step; zeros without steps."""
        outputs = self.outputs(steps).float()
        padded = torch.cat([outputs, outputs.new_zeros(1, outputs.shape[1])])
        last = torch.where(steps.offsets.diff() > 0, steps.offsets[1:] - 1, outputs.shape[0])
        return padded.index_select(0, last)
