"""What `mmr` and `dpp` share: how alike items are, by columns of the catalogue or by vectors."""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Self

from serving.engine.rerank import Rerank, RerankConfig
from serving.engine.row_vectors import row_vectors


class AlikeConfig(RerankConfig):
    """What makes items alike."""

    by: str | list[str] | None = None
    """Columns of the catalogue: items are alike as far as they have the same values in them."""
    items: str | None = Field(None, min_length=1)
    """Instead, the folder of `easyrec embed`: items are alike as their vectors' cosine says."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.by is None) == (self.items is None):
            raise ValueError("needs either 'by' or 'items': what makes items alike?")
        return self


class Alike(Rerank):
    """Holds values of the columns as numbers, or vectors."""

    def prepare(self) -> None:
        """Values of the columns as numbers, or vectors."""
        by = self.config.by
        columns = [by] if isinstance(by, str) else by or []
        self._codes = np.stack([self.rows.groups(column).first for column in columns]) if columns else None
        self._vectors = None
        if self.config.items is not None:
            self._vectors = row_vectors(self.world, self.config.items, self.rows, unit=True)

    def refresh(self) -> None:
        """Take vectors that were written anew."""
        if self._vectors is not None:
            self._vectors.refresh()
