"""Re-rank: what a list is made of beyond the scores of its items.

The contract of the family: `serving/engine/rerank/<type>.py` holds the stage's `Config` over `RerankConfig`, and one class over
`Rerank`, made anew for each catalogue. A stage gives candidates back in another order, never others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from easyrec.config.family import implementation
from feature_generator.config import StrictModel
from serving.engine.merge import Candidates
from serving.engine.rows import Floats, Ints, Rows
from serving.server.config import Name

if TYPE_CHECKING:
    from serving.engine.ask import Ask
    from serving.engine.world import World

PACKAGE = "serving.engine.rerank"


class RerankConfig(StrictModel):
    """What the config of every stage has; a stage's own `Config` derives from it."""

    family: ClassVar[str | None] = PACKAGE

    type: str
    name: Name | None = None
    """What it is called in experiments, traces and metrics; default: its type."""

    @property
    def called(self) -> str:
        """Its name."""
        return self.name or self.type


class Rerank:
    """A stage over a catalogue.

    Args:
        config: Its config.
        world: What all requests share.
        rows: The catalogue.
        sources: Numbers of the sources, by name.

    Raises:
        DataError: The catalogue lacks a column.
    """

    memory: object | None = None
    """What a stage learns live, which stages of several scenes may share; None: it learns nothing."""

    def __init__(self, config: Any, world: World, rows: Rows, sources: Mapping[str, int]) -> None:
        self.config, self.world, self.rows, self.sources = config, world, rows, sources
        self.prepare()

    def prepare(self) -> None:
        """Make what requests look at."""

    def refresh(self) -> None:
        """Make it anew where what it is made of has changed; called about once a second, in a thread of its own."""

    def rerank(self, ask: Ask, candidates: Candidates, count: int) -> Candidates:
        """The candidates in another order.

        Args:
            ask: The request.
            candidates: The best first.
            count: How many of them will be looked at; the order of the others does not matter.
        """
        raise TypeError(f"{type(self).__name__} must define rerank")

    def shown(self, ask: Ask, candidates: Candidates, keys: Sequence[Any]) -> None:
        """Learn of a list that was answered.

        Args:
            ask: For which request.
            candidates: Its items.
            keys: Their keys.
        """

    def happened(self, request_id: str, key: Any, value: float) -> None:
        """Learn of a click or the like on an item of a list."""


def build(config: RerankConfig, world: World, rows: Rows, sources: Mapping[str, int]) -> Rerank:
    """The stage of a config, over a catalogue."""
    found: Rerank = implementation(PACKAGE, config.type, Rerank)(config, world, rows, sources)
    return found


def relevance(scores: Floats) -> Floats:
    """Scores from 0, the least, to 1, the largest."""
    known = scores[np.isfinite(scores)]
    if not len(known):
        return np.zeros(len(scores))
    low, high = float(known.min()), float(known.max())
    return np.clip(np.nan_to_num((scores - low) / (high - low or 1.0), nan=0.0, neginf=0.0, posinf=1.0), 0.0, 1.0)


def chosen_first(count: int, chosen: Sequence[int]) -> Ints:
    """All places below `count`, those that were chosen first, in their order."""
    first = np.asarray(chosen, np.int64)
    rest = np.ones(count, bool)
    rest[first] = False
    return np.concatenate([first, np.flatnonzero(rest)])
