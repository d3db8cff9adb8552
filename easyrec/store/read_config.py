"""How a process reads the online store: what it keeps in memory, and how long it waits. No part of what is applied."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from easyrec.store.duration import Duration
from feature_generator.config import StrictModel


class SnapshotConfig(StrictModel):
    """All records of an entity are held in memory, and follow the store."""

    type: Literal["snapshot"]
    poll: Annotated[Duration, Field(gt=0.0)] = 1.0
    """How often the store is asked what was changed: seconds, or such as `500ms`."""


class CacheConfig(StrictModel):
    """Records that were asked for lately are held for a while."""

    type: Literal["cache"]
    rows: int = Field(100_000, ge=1)
    """How many; beyond them, those that were not asked for longest go."""
    age: Annotated[Duration, Field(gt=0.0)] = 10.0
    """How long one is held, whatever happens to it in the store."""


MemoryConfig: TypeAlias = Annotated[SnapshotConfig | CacheConfig, Field(discriminator="type")]


class BreakerConfig(StrictModel):
    """When a store that does not answer is not asked any more."""

    failures: int = Field(5, ge=1)
    """Reads in a row that failed or came too late."""
    pause: Annotated[Duration, Field(gt=0.0)] = 1.0
    """After which one read tries again."""


class LogConfig(StrictModel):
    """A log of what servers read, for `easyrec store verify`."""

    path: str = Field(min_length=1)
    """A folder; each model has one in it."""
    sample: float = Field(0.01, gt=0.0, le=1.0)
    """Share of the reads that is kept."""
    file_rows: int = Field(100_000, ge=1)
    """Rows of a file."""


class ReadConfig(StrictModel):
    """Section `read` of `store.yaml`."""

    memory: dict[str, MemoryConfig] = {}
    """What is held of entities, by their names."""
    deadline_ms: float | None = Field(None, gt=0.0)
    """After which what has not come is answered with the fields' defaults; default: it is waited for, and errors are told."""
    threads: int = Field(8, ge=1, le=256)
    """Reads under a deadline that the store is asked for at a time; further ones wait, within their deadlines."""
    breaker: BreakerConfig = BreakerConfig()
    log: LogConfig | None = None
    """Where servers keep a share of what they read; default: they keep nothing."""
