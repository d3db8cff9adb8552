"""`low_rank`: rows become narrower, and a projection that all share widens them again."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Self

from easyrec.config.compress import CodecConfig
from easyrec.embedding.codecs._codec import Codec
from easyrec.embedding.encoded import Draft


class Config(CodecConfig):
    """Config of `low_rank`."""

    type: Literal["low_rank"] = "low_rank"
    dim: int | None = Field(None, ge=1)
    """Numbers of a row."""
    energy: float | None = Field(None, gt=0.0, lt=1.0)
    """As few numbers as keep this share of the sum of squares."""

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.dim is None) == (self.energy is None):
            raise ValueError("says not how narrow rows become\ngive one of dim, energy")
        return self


class LowRank(Codec):
    """``E ~ (E V) V^T`` with V (D, d), the first d right singular vectors of E.

    The error that V makes least, ``sum_i (c_i + 1) |E_i - E_i V V^T|^2``, counts a row as often as its id was met.

    Source:
        Eckart and Young, "The approximation of one matrix by another of lower rank", 1936.
    """

    config: Config

    def __call__(self, draft: Draft) -> Draft:
        """The table with narrower rows."""
        numbers = draft.numbers.astype(np.float64)
        if not np.isfinite(numbers).all():
            raise ValueError("a number is not finite, which no projection can give")
        values, vectors = np.linalg.eigh(numbers.T @ (numbers * (draft.counts + 1.0)[:, None]))
        values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
        if self.config.dim is not None:
            dim = self.config.dim
        else:
            reached = np.cumsum(values) / max(values.sum(), np.finfo(np.float64).tiny)
            dim = int(np.searchsorted(reached, self.config.energy)) + 1
        if dim >= draft.numbers.shape[1]:
            return draft
        chosen = vectors[:, :dim]
        narrow = np.ascontiguousarray(numbers @ chosen, np.float32)
        return replace(draft, numbers=narrow, project=np.ascontiguousarray(chosen.T, np.float32))
