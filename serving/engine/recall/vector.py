"""`vector`: the items whose vectors are nearest to the user's, by two towers and an index."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from serving.engine.ask import Ask
from serving.engine.recall import NOTHING, Found, Recall, RecallConfig
from serving.engine.rows import EMPTY
from serving.engine.vectors import Vectors
from serving.server.config import Name
from serving.server.http import Refused


class Config(RecallConfig):
    """Config of `vector`."""

    type: Literal["vector"] = "vector"
    model: Name
    """The user tower, one of `models`."""
    items: str = Field(min_length=1)
    """The folder that `easyrec embed` wrote: vectors and an index. It is read again when it was written anew."""
    effort: int | None = Field(None, ge=1)
    """Candidates that a search keeps (`ef_search` of hnsw) or lists that it looks at (`probes`): more find more, slower;
    default: as the index says."""
    any_model: bool = False
    """Take vectors of another model than the tower's; whether they can be compared is yours to know."""


class VectorRecall(Recall):
    """The nearest items of an index. What the catalogue lacks, or its filters keep out, is left out."""

    why = "near what you like"

    def prepare(self) -> None:
        """Which rows the index's items are."""
        self._vectors = self.world.shared(("vectors", self.config.items), Vectors, self.config.items)
        self._number = -1
        self.refresh()

    def refresh(self) -> None:
        """Take the vectors that lie there now."""
        self._vectors.refresh()
        held = self._vectors.held
        if held is None or held.number == self._number:
            return
        places = self.rows.find(held.items.ids)
        known = places >= 0
        known[known] &= self.allowed[places[known]]
        index = held.items.index
        if self.config.effort is not None and index.config.effort is not None:
            index = index.asked(**{index.config.effort: self.config.effort})
        self._held = (index, np.where(known, places, -1), None if self.config.any_model else held.items.model)
        self._number = held.number

    def recall(self, ask: Ask, count: int) -> Found:
        """See the contract.

        Raises:
            Refused: There are no vectors yet, or the tower is not theirs.
        """
        if self._number < 0:
            raise Refused(503, "vectors", f"there are no vectors of items in '{self.config.items}'")
        index, places, tower = self._held
        vector = ask.vector(self.config.model, tower)
        if not vector.any():
            return NOTHING  # nothing is known of the user, who is as near to every item
        numbers, scores = index.search(vector.reshape(1, -1), min(count, max(len(index), 1)))
        rows = places[numbers[0]]
        known = (numbers[0] >= 0) & (rows >= 0)
        return Found(rows[known], scores[0][known]) if known.any() else Found(EMPTY)
