"""`dropout`: whole fields are zeroed while training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from easyrec.config.model import FeatureWiseConfig
from easyrec.modules.dropout import Dropout
from easyrec.modules.feature_wise._layer import FeatureWise


class Config(FeatureWiseConfig):
    """Config of `dropout`."""

    type: Literal["dropout"] = "dropout"
    rate: float = Field(0.1, ge=0.0, lt=1.0)
    """Probability that a row does without a field while training."""


class FieldDropout(FeatureWise):
    """``m_f e_f / (1 - rate)`` while training, with m_f = 0 by chance at `rate`; afterwards e_f."""

    def __init__(self, config: Config, dims: Sequence[int]) -> None:
        super().__init__(config, dims)
        self.mask = Dropout(config.rate)

    def forward(self, fields: Tensor) -> Tensor:
        """The fields that are left."""
        if not self.training or not self.config.rate:
            return fields
        return self.scaled(fields, self.mask(fields.new_ones((fields.shape[0], len(self.dims)))))
