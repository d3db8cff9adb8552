"""Encoders that read a sequence from the oldest step on, and give one vector after each step."""

from __future__ import annotations

import torch
from torch import Tensor

from easyrec.batch import Seq
from easyrec.modules.sequence._encoder import age
from easyrec.modules.sequence._telling import TellingEncoder


class CausalEncoder(TellingEncoder):
    """The output after the newest step; an encoder defines `outputs`."""

    def outputs(self, steps: Seq) -> Tensor:
        """(N, dim), what is known after each step: of that step and of older ones of its row."""
        raise TypeError(f"{type(self).__name__} must define outputs")

    def unseen(self, steps: Seq, places: Tensor) -> Tensor:
        """(P, dim), the outputs after the steps before these.

        Newest steps are left out, so that those before them are as old as when the next one is asked for.
        """
        left = torch.nonzero(age(steps)).squeeze(1)
        offsets = torch.cat([steps.offsets.new_zeros(1), (steps.offsets.diff() - 1).clamp_min(0).cumsum(0)])
        older = Seq(steps.values.index_select(0, left), steps.rows.index_select(0, left), offsets)
        moved = (steps.offsets - offsets).index_select(0, steps.rows.index_select(0, places))
        return self.outputs(older).index_select(0, places - 1 - moved)

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, dim) float32, what is known after the newest step; zeros without steps."""
        outputs = self.outputs(steps).float()
        padded = torch.cat([outputs, outputs.new_zeros(1, outputs.shape[1])])
        last = torch.where(steps.offsets.diff() > 0, steps.offsets[1:] - 1, outputs.shape[0])
        return padded.index_select(0, last)
