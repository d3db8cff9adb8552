"""Sources as feeds of the offline runner, and sources of files that a command line names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.data.sources import Source, SourceConfig, Unit
from easyrec.data.sources._files import aside
from easyrec.data.sources._partitions import PartitionedConfig
from easyrec.data.sources._text import COMPRESSED
from easyrec.data.sources.csv import SUFFIXES as CSV
from easyrec.data.sources.jsonl import SUFFIXES as JSONL
from easyrec.data.sources.parquet import ParquetSource
from easyrec.data.split import Part
from feature_generator import feed
from feature_generator.config import member

KINDS = {**dict.fromkeys(CSV, "csv"), **dict.fromkeys(JSONL, "jsonl"), ".parquet": "parquet"}
"""Types of sources by the ends of their files' names."""


def source_of(paths: str | list[str], known: Sequence[SourceConfig | None]) -> SourceConfig:
    """The source of files: of the type that the first one's name tells, with the options of a known source of that type.

    Which partitions the known source reads (`where`) says nothing of other files: all of them are read.

    Args:
        paths: Files, folders or globs.
        known: Sources of a config.
    """
    kind = _kind(paths if isinstance(paths, str) else paths[0])
    for config in known:
        if config is not None and config.type == kind:
            return (
                config.of(paths) if isinstance(config, PartitionedConfig) else config.model_copy(update={"path": paths})
            )
    made: SourceConfig = member("easyrec.data.sources", kind).Config(type=kind, path=paths)
    return made


def _kind(path: str) -> str:
    """The type of source that a name tells, of a local folder those in it: parquet where there is any, else text."""
    if not Path(path).is_dir():
        return _kind_of_file(path) or "parquet"
    found = set()
    for folder, _, names in os.walk(path):
        if not aside(folder[len(path) :]):
            found |= {_kind_of_file(name) for name in names if not aside(name)}
        if "parquet" in found:
            break
    return next((kind for kind in ("parquet", "csv", "jsonl") if kind in found), "parquet")


def _kind_of_file(name: str) -> str | None:
    name = name.lower()
    plain = next((name.removesuffix(end) for end in COMPRESSED if name.endswith(end)), name)
    return next((kind for end, kind in KINDS.items() if plain.endswith(end)), None)


def feed_of(source: Source) -> feed.Feed:
    """The rows of a source as a feed; local parquet files are read page by page, whatever their row groups hold."""
    if isinstance(source, ParquetSource) and all(file.local for file in source.files):
        return feed.ParquetFeed([Path(file.name) for file in source.files])
    return SourceFeed(source)


class SourceFeed(feed.Feed):
    """All rows of a source, unit by unit."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source
        self.schema = pa.schema(list(source.columns.items()))
        files: Sequence[Any] = getattr(source, "files", ())
        self.size = sum(file.size for file in files)
        self.paths = [Path(file.path) for file in files if file.local]

    def blocks(self, columns: Sequence[str]) -> Iterator[feed.Block]:
        """The units' rows, in blocks of bounded size."""
        units = self.source.units()
        for index, unit in enumerate(units):
            row = 0
            for batch in self.source.read(unit, columns):
                for part in feed.cut(batch, feed.BLOCK_BYTES):
                    yield feed.Block(part, self._places(unit, row), (index + 1) / len(units))
                    row += part.num_rows
            self.dropped.update(self.source.dropped(unit))

    def _places(self, unit: Unit, first: int) -> Callable[[int], feed.Place]:
        def locate(row: int) -> feed.Place:
            place = self.source.locate(unit, first + row)
            return feed.Place(place.file, place.row, place.line)

        return locate


class PartFeed(SourceFeed):
    """The rows of one part of the data, or of one shard of it.

    Args:
        part: A source, and which of its rows are wanted.
        shard: (i, n): only the units i, i + n, ... of those that may hold wanted rows; i from 0.
    """

    def __init__(self, part: Part, shard: tuple[int, int] = (0, 1)) -> None:
        super().__init__(part.source)
        self.predicate, self.shard = part.predicate, shard

    def blocks(self, columns: Sequence[str]) -> Iterator[feed.Block]:
        """The units' wanted rows, in blocks of bounded size."""
        predicate, (first, step) = self.predicate, self.shard
        units = (self.source.units() if predicate is None else predicate.units(self.source))[first::step]
        read = columns if predicate is None else list(dict.fromkeys([*columns, predicate.column]))
        for index, unit in enumerate(units):
            row = 0
            for batch in self.source.read(unit, read):
                for block in feed.cut(batch, feed.BLOCK_BYTES):
                    wanted = np.arange(block.num_rows)
                    if predicate is not None:
                        wanted = np.flatnonzero(predicate.rows(block).fill_null(False).to_numpy(zero_copy_only=False))
                    kept = block.select(list(columns))
                    if len(wanted) < block.num_rows:
                        kept = kept.take(pa.array(wanted))
                    yield feed.Block(kept, self._of(unit, row + wanted), (index + 1) / len(units))
                    row += block.num_rows
            self.dropped.update(self.source.dropped(unit))

    def _of(self, unit: Unit, rows: np.ndarray[Any, Any]) -> Callable[[int], feed.Place]:
        locate = self._places(unit, 0)
        return lambda row: locate(int(rows[row]))
