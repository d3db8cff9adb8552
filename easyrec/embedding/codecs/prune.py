"""`prune`: rows of ids that are hardly met are left out; those ids share one row."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Self

from easyrec.config.compress import CodecConfig
from easyrec.embedding.codecs._codec import Codec
from easyrec.embedding.encoded import Draft, map_of


class Config(CodecConfig):
    """Config of `prune`."""

    type: Literal["prune"] = "prune"
    min_count: int | None = Field(None, ge=1)
    """Keep the rows of ids that training met so often."""
    share: float | None = Field(None, gt=0.0, lt=1.0)
    """Keep this share of the rows, those of the most frequent ids."""
    below: float | None = Field(None, ge=0.0)
    """Leave out the rows whose norm is not above this; 0: rows of zeros, as `model.compress` by `threshold` makes them."""
    shared: Literal["mean", "zeros"] = "mean"
    """The row of ids without one: the mean of the rows left out, as often as each was met, or zeros."""

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        given = [key for key in ("min_count", "share", "below") if getattr(self, key) is not None]
        if len(given) != 1:
            text = f"has {' and '.join(given)}" if given else "says not which rows to keep"
            raise ValueError(f"{text}\ngive one of min_count, share, below")
        return self


class Prune(Codec):
    """``row(i) = E[i]`` where i is kept, else ``sum_j c_j E[j] / sum_j c_j`` over those that are not."""

    config: Config

    def __call__(self, draft: Draft) -> Draft:
        """The table without some of its rows."""
        kept = self._kept(draft)
        if kept.all():
            return draft
        counts, left = draft.counts[~kept], draft.numbers[~kept]
        shared = np.zeros(draft.numbers.shape[1], np.float32)
        if self.config.shared == "mean" and self.config.below is None and counts.sum() > 0:
            shared = (counts @ left.astype(np.float64) / counts.sum()).astype(np.float32)
        numbers = np.concatenate([draft.numbers[kept], shared[None]])
        return replace(draft, numbers=numbers, counts=np.append(draft.counts[kept], counts.sum()), kept=map_of(kept))

    def _kept(self, draft: Draft) -> np.ndarray:
        """(ids,) which rows stay."""
        kept: np.ndarray
        if self.config.below is not None:
            kept = np.square(draft.numbers, dtype=np.float64).sum(axis=1) > self.config.below**2
        elif self.config.min_count is not None:
            kept = draft.counts >= self.config.min_count
        else:
            assert self.config.share is not None
            kept = np.zeros(draft.ids, bool)
            kept[np.argsort(-draft.counts, kind="stable")[: max(1, round(self.config.share * draft.ids))]] = True
        return kept
