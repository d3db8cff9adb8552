"""Features of rows by the workers of an engine: `easyrec fg run --engine`."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from easyrec.data.content import content_of
from easyrec.data.encoded_parts import Encoding
from easyrec.data.engines import Engine, EngineConfig, Made, Maker, Setting, Table, Task
from easyrec.data.engines._worker import BatchSource
from easyrec.data.parts import Parts
from easyrec.data.slices import digest_of, slices_of
from easyrec.data.sources import Source, SourceConfig
from easyrec.data.split import Part
from easyrec.data.spread import Spread, divisible, spread, spread_table
from easyrec.data.travel import Travelled
from feature_generator import FeatureGenerator, offline
from feature_generator.feed import Place


def encode_spread(
    generator: FeatureGenerator,
    rows: SourceConfig | Table,
    folder: Path,
    config: EngineConfig,
    engine: Engine,
    encoding: Encoding,
    *,
    overwrite: bool = False,
    bar: bool = False,
) -> tuple[offline.Summary, Spread]:
    """Write the features of all rows by the workers of an engine.

    Args:
        generator: In `raw` mode.
        rows: Where they are.
        folder: Where the parts go, one for each slice.
        config: Of the engine.
        engine: Who works.
        encoding: How parts are written; workers take one thread.
        overwrite: Replace what is there.
        bar: Whether to draw a progress bar.

    Returns:
        What was done, as `offline.run` tells it, and what the engine did.

    Raises:
        ConfigError: The rows cannot be shared out.
        DataError: A column is missing, or a value is bad under `fail`.
        EngineError: The engine gave up.
        RunError: The folder is there already, or holds something else.
    """
    encoding = replace(encoding, threads=1)
    task = EncodeTask(Setting.here(folder), encoding.exact, "", _saved(generator), encoding)
    if isinstance(rows, Table):
        columns = encoding.columns(generator, BatchSource(rows.schema, (), rows.name))
        parts = Parts(folder, encoding.job(generator, f"{rows.name} {task.setting.key}", config.slice_rows))
        done = spread_table(engine, task, parts, rows, columns, overwrite=overwrite, bar=bar)
        return _summary(done, 0), done
    source = rows.open(encoding.bad_rows)
    divisible(source)
    encoding.columns(generator, source)
    slices = slices_of(Part(source), config.slice_rows)
    job = encoding.job(generator, content_of(source, list(source.columns)), config.slice_rows)
    task = replace(task, cut=digest_of(slices), source=Travelled.of(rows, source), slice_rows=config.slice_rows)
    done = spread(engine, task, Parts(folder, job), slices, overwrite=overwrite, bar=bar)
    return _summary(done, sum(file.size for file in getattr(source, "files", ()))), done


@dataclass(frozen=True)
class EncodeTask(Task):
    """Features of slices.

    Attributes:
        generator: Files of the saved generator.
        encoding: How parts are written.
        source: Where the rows are; None where the engine reads them.
        slice_rows: Rows of a slice.
    """

    generator: Mapping[str, bytes]
    encoding: Encoding
    source: Travelled | None = None
    slice_rows: int = 0

    def open(self) -> Maker:
        """The generator and the source."""
        with tempfile.TemporaryDirectory(prefix="easyrec-") as folder:
            for name, content in self.generator.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            generator = FeatureGenerator.load(folder, mode="raw")
        source = None if self.source is None else self.source.open(self.encoding.bad_rows)
        return _Encoder(generator, self.encoding, source, self.slice_rows)


class _Encoder(Maker):
    def __init__(self, generator: FeatureGenerator, encoding: Encoding, source: Source | None, slice_rows: int) -> None:
        self.generator, self.encoding, self.source = generator, encoding, source
        self.slices = [] if source is None else slices_of(Part(source), slice_rows)

    def make(self, rows: Source, path: Path) -> Made:
        """The features, with what `offline.run` says of them."""
        done = self.encoding.write(self.generator, rows, path)
        report: dict[str, Any] = {
            "rows_in": done.rows_in,
            "bytes_out": done.bytes_out,
            "bad_rows": done.bad_rows,
            "bad": dict(done.bad),
            "dropped": dict(done.dropped),
            "examples": [
                [one.place.file, one.place.row, one.place.line, one.column, one.reason] for one in done.examples
            ],
        }
        return Made(done.rows_out, report)


def _summary(done: Spread, bytes_in: int) -> offline.Summary:
    """What all workers did, as one would tell it."""
    found = offline.Summary(rows_out=done.rows, bytes_in=bytes_in, seconds=done.seconds)
    for report in done.reports:
        found.rows_in += report["rows_in"]
        found.bytes_out += report["bytes_out"]
        found.bad_rows += report["bad_rows"]
        found.bad += Counter(report["bad"])
        found.dropped += Counter(report["dropped"])
        for file, row, line, column, reason in report["examples"][: offline.EXAMPLES - len(found.examples)]:
            found.examples.append(offline.Example(Place(file, row, line), column, reason))
    return found


def _saved(generator: FeatureGenerator) -> dict[str, bytes]:
    """The files of the generator, vocabularies included."""
    with tempfile.TemporaryDirectory(prefix="easyrec-") as folder:
        path = Path(folder, "generator")
        generator.save(path)
        return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
