"""Recall: where candidates come from.

The contract of the family: `serving/engine/recall/<type>.py` holds the source's `Config` over `RecallConfig`, and one class
over `Recall`, which is made anew for each catalogue, and is then asked by many threads at a time. A file of yours is a member
after `--plugin my_source.py`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from easyrec.config.family import implementation
from feature_generator.config import StrictModel
from serving.engine.rows import EMPTY, Ints, Mask, Rows
from serving.server.config import Name

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from serving.engine.ask import Ask
    from serving.engine.world import World

PACKAGE = "serving.engine.recall"


class RecallConfig(StrictModel):
    """What the config of every source has; a source's own `Config` derives from it.

    Attributes:
        for_all: Whether it gives everybody the same items, so that it may be a scene's `fallback`.
        aside: Whether it may have to wait, so that it runs in threads of its own.
    """

    family: ClassVar[str | None] = PACKAGE
    for_all: ClassVar[bool] = False
    aside: ClassVar[bool] = True

    type: str
    name: Name | None = None
    """What it is called in quotas, experiments, logs and metrics; default: its type."""
    count: int = Field(500, ge=0, le=100_000)
    """How many items it may give; 0: it is not asked."""
    weight: float = Field(1.0, gt=0.0)
    """How fast its items are taken when sources are merged, beside the others' weights."""
    deadline_ms: float | None = Field(None, gt=0.0)
    """After which it is not waited for; default: 0.3 of the scene's."""
    threads: int = Field(4, ge=1, le=64)
    """Of a source that may have to wait: so many requests ask it at a time, in each process."""
    reason: str | None = Field(None, max_length=200)
    """What is told of its items: a text with `{item}` for the item that led to them and `{group}` for their group."""

    @property
    def called(self) -> str:
        """Its name."""
        return self.name or self.type


@dataclass(frozen=True)
class Found:
    """What a source gives.

    Attributes:
        rows: (n,) int64 numbers of items, the best first, none twice.
        scores: (n,) how good each is, as the source sees it; None: by their order alone.
        because: (n,) int64 numbers of the items that led to each, -1: none did; None: none did for any.
        groups: (n,) what the items have in common, as indices into `names`, or None.
        names: Of the groups.
    """

    rows: Ints
    scores: npt.NDArray[np.floating[Any]] | None = None
    because: Ints | None = None
    groups: Ints | None = None
    names: list[Any] | None = None


NOTHING = Found(EMPTY)


class Recall:
    """A source over a catalogue.

    Args:
        config: Its config.
        world: What all requests share.
        rows: The catalogue.
        allowed: (N,) which of the items pass the filters that are the same for all requests.

    Raises:
        DataError: The catalogue lacks a column, or a file cannot be read.
    """

    why = "recommended for you"
    """What is told of its items unless the config has a `reason`."""

    def __init__(self, config: Any, world: World, rows: Rows, allowed: Mask) -> None:
        self.config, self.world, self.rows, self.allowed = config, world, rows, allowed
        self.prepare()

    def prepare(self) -> None:
        """Make what requests look at."""

    def refresh(self) -> None:
        """Make it anew where what it is made of has changed; called about once a second, in a thread of its own."""

    def recall(self, ask: Ask, count: int) -> Found:
        """Candidates for a request.

        Args:
            ask: The request.
            count: How many at most.
        """
        raise TypeError(f"{type(self).__name__} must define recall")

    def everything(self) -> Ints:
        """All items in the order that is the same for everybody, where the source is `for_all`."""
        return EMPTY


_OF_A_SCENE = {"name", "count", "weight", "deadline_ms", "threads", "reason"}
"""Keys that say how a scene asks a source, and not what the source is."""


def build(config: RecallConfig, world: World, rows: Rows, allowed: Mask, filtered: Hashable) -> Recall:
    """The source of a config, over a catalogue; scenes share what differs in no more than how they ask it.

    Args:
        config: Its config.
        world: What all requests share.
        rows: The catalogue.
        allowed: (N,) which of the items pass the filters that are the same for all requests.
        filtered: Tells these filters from others.
    """
    kind = implementation(PACKAGE, config.type, Recall)
    key = ("recall", config.model_dump_json(exclude=_OF_A_SCENE), filtered)
    return rows.shared(key, lambda: kind(config, world, rows, allowed))
