"""`jrc`: two logits that both tell the probability and rank inside a session."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.losses import SessionConfig
from easyrec.losses._loss import mean
from easyrec.losses._sessions import SessionLoss, Sessions


class Config(SessionConfig):
    """Config of `jrc`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary"})

    type: Literal["jrc"] = "jrc"
    alpha: float = Field(0.5, ge=0.0, le=1.0)
    """a: share of the cross-entropy; the rest is the ranking inside sessions."""

    def num_outputs(self, num_classes: int | None) -> int:
        """Two: for label 0 and label 1."""
        return 2


class JRC(SessionLoss):
    """``-a log(exp(z_iy) / (exp(z_i0) + exp(z_i1))) - (1 - a) log(exp(z_iy) / sum_j exp(z_jy))``, y the label of row i.

    The first term is over the row's two logits, the second over the same logit of all rows j of its session. Mean
    over the rows.

    Source:
        Sheng et al., "Joint optimization of ranking and calibration with contextualized hybrid model", KDD 2023,
        section 4.
    """

    def of_batch(self, logits: Tensor, labels: Tensor, weights: Tensor, codes: Tensor | None) -> Tensor:
        """The mean over rows."""
        sessions, chosen = Sessions(codes, labels), labels.long()
        own = logits.gather(1, chosen[:, None]).squeeze(1)
        both = torch.stack([sessions.logsumexp(logits[:, c], weights) for c in range(2)], dim=1)  # (G, 2)
        ranking = both[sessions.of_rows, chosen] - own
        rows = self.config.alpha * (torch.logsumexp(logits, 1) - own) + (1.0 - self.config.alpha) * ranking
        return mean(rows, weights)

    def predict(self, logits: Tensor) -> Tensor:
        """(B,), the probability of label 1 from both logits."""
        return torch.sigmoid(logits[:, 1].float() - logits[:, 0].float())

    def shifted(self, logits: Tensor, shift: float) -> Tensor:
        """The logits with that of label 1 moved."""
        return torch.stack([logits[:, 0], logits[:, 1] + shift], dim=1)
