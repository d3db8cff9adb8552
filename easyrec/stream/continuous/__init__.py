"""Definitions as queries that run for ever in an engine: one file per engine, with `sample_query` and `view_query`.

What they give out is final: the watermark has passed it. It is what the joiner makes, and what a view's rows are, of the
events that are not late.
"""

from __future__ import annotations

from typing import Any

from easyrec.errors import ConfigError, nearest
from easyrec.store.samples import SampleConfig
from feature_generator.config import member, members

SECOND = 1_000_000
FORGOTTEN = 64
"""Half-lives after which nothing is left of an event in a double."""


def continuous(name: str) -> Any:
    """The module of an engine.

    Raises:
        ConfigError: It has no queries that run for ever.
    """
    known = members("easyrec.stream.continuous")
    if name not in known:
        raise ConfigError(f"'{name}' has no queries that run for ever{nearest(name, known)}; known: {', '.join(known)}")
    return member("easyrec.stream.continuous", name)


def check_every(every: int) -> None:
    """Check the span of time at whose ends rows are made.

    Raises:
        ConfigError: It is no whole number of seconds.
    """
    if every <= 0 or every % SECOND:
        raise ConfigError(f"rows are made at the ends of whole seconds, not every {every / 1e6:g} s")


def check_final(config: SampleConfig) -> None:
    """Check that a sample is made once.

    Raises:
        ConfigError: It may be made again.
    """
    if config.late != "drop":
        raise ConfigError(
            f"samples '{config.name}' are made again for what comes late; a query makes each once: late: drop"
        )
