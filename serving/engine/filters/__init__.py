"""Filters: what must not be in a list.

The contract of the family: `serving/engine/filters/<type>.py` holds the filter's `Config` over `FilterConfig`, and one class
over `Filter`, made anew for each catalogue. What is the same for all requests is a mask over the whole catalogue, made ahead;
what is not is asked about the candidates alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from easyrec.config.family import implementation
from feature_generator.config import StrictModel
from serving.engine.rows import Ints, Mask, Rows
from serving.server.config import Name

if TYPE_CHECKING:
    from serving.engine.ask import Ask
    from serving.engine.world import World

PACKAGE = "serving.engine.filters"


class FilterConfig(StrictModel):
    """What the config of every filter has; a filter's own `Config` derives from it.

    Attributes:
        soft: Whether it is given up rather than that a list is short.
    """

    family: ClassVar[str | None] = PACKAGE
    soft: ClassVar[bool] = False

    type: str
    name: Name | None = None
    """What it is called in experiments, traces and metrics; default: its type."""

    @property
    def called(self) -> str:
        """Its name."""
        return self.name or self.type


class Filter:
    """A filter over a catalogue.

    Args:
        config: Its config.
        world: What all requests share.
        rows: The catalogue.

    Attributes:
        version: Another one says that `everywhere` has changed.

    Raises:
        DataError: The catalogue lacks a column, or a file cannot be read.
    """

    def __init__(self, config: Any, world: World, rows: Rows) -> None:
        self.config, self.world, self.rows, self.version = config, world, rows, 0
        self.prepare()

    def prepare(self) -> None:
        """Make what requests look at."""

    def refresh(self) -> None:
        """Follow what has changed, and count `version` up with what `everywhere` says; called about once a second."""

    def everywhere(self) -> Mask | None:
        """(N,) which items may be shown, whoever asks; None: that depends on the request."""
        return None

    def keeps(self, ask: Ask, items: Ints) -> Mask | None:
        """(n,) which of some items this request may show; None: all.

        Args:
            ask: The request.
            items: (n,) numbers of items.
        """
        return None


def build(config: FilterConfig, world: World, rows: Rows) -> Filter:
    """The filter of a config, over a catalogue."""
    kind = implementation(PACKAGE, config.type, Filter)
    return rows.shared(("filter", _content(config)), lambda: kind(config, world, rows))


def _content(config: FilterConfig) -> str:
    """What tells filters apart."""
    return config.model_dump_json(exclude={"name"})
