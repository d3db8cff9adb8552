"""Encoders that need no candidate, and tell steps that they do not see."""

from __future__ import annotations

import torch
from torch import Tensor

from easyrec.batch import Seq
from easyrec.modules.sequence._encoder import SequenceEncoder


class TellingEncoder(SequenceEncoder):
    """What is known of the step that follows the newest; an encoder also defines `unseen`."""

    needs_query = False

    def unseen(self, steps: Seq, places: Tensor) -> Tensor:
        """(P, dim), what is known of steps without a look at them.

        Args:
            steps: All steps.
            places: (P,) int64, which steps, ascending; none is the first of its row unless others may be newer.
        """
        raise TypeError(f"{type(self).__name__} must define unseen")


class PrefixEncoder(TellingEncoder):
    """An encoder of which every output looks at the whole row: a step is known by the row of all steps before it."""

    def unseen(self, steps: Seq, places: Tensor) -> Tensor:
        """(P, dim), the encoded rows that end before these steps."""
        encoded: Tensor = self(before(steps, places), None)
        return encoded


def before(steps: Seq, places: Tensor) -> Seq:
    """A row for each of some steps, (P,), of all that is older in its row."""
    starts = steps.offsets.index_select(0, steps.rows.index_select(0, places))
    lengths = places - starts
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    rows = torch.repeat_interleave(torch.arange(places.shape[0], device=places.device), lengths)
    within = torch.arange(rows.shape[0], device=places.device) - offsets.index_select(0, rows)
    return Seq(steps.values.index_select(0, starts.index_select(0, rows) + within), rows, offsets)
