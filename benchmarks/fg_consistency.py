"""The same features by every way: 0 differing values among rows of the embedded shop.

(a) `easyrec fg run` into a file, read again as training with `data.fg: encoded` reads it;
(b) the training reader over the raw rows;
(c) requests to a Predictor, whose bundle a short training on the same config made: a user and a context once, then the
    candidates; every other request asks the bundle's generator for the same in two steps, its items computed ahead.
Each is compared bit by bit with `FeatureGenerator.transform` of the same rows at once.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from record import ROOT, save, table

import easyrec
from easyrec.config import load_experiment
from easyrec.data import Demand, Source, open_sources
from easyrec.data.feed import SourceFeed
from easyrec.data.intake import Intake
from easyrec.data.sources.parquet import Config as Parquet
from feature_generator import Column, FeatureGenerator, Table, offline
from feature_generator.comparison import differing_rows
from serving import Predictor

CHUNK = 1 << 14
LABELS: dict[str, int | None] = {"click": 2}


def read(source: Source, generator: FeatureGenerator) -> Iterator[Table]:
    """What the training reader makes of all rows, in their order."""
    intake = Intake(source, generator, Demand(LABELS))
    for unit in source.units():
        row = 0
        for batch in source.read(unit, intake.columns):
            for start in range(0, batch.num_rows, CHUNK):
                part = batch.slice(start, CHUNK)
                rows, _ = intake(part, unit, row, 0)
                row += part.num_rows
                if rows is not None:
                    yield rows.table


def as_requests(source: Source, predictor: Predictor) -> Iterator[Table]:
    """The rows as requests: those of one page have one user and one context."""
    generator = predictor.generator
    needs = {side: generator.needs(side) for side in ("user", "context", "item")}
    columns = list(dict.fromkeys(["request_id", *(name for names in needs.values() for name in names)]))
    count = 0
    for unit in source.units():
        for batch in source.read(unit, columns):
            page = batch.column("request_id").to_numpy()
            starts = np.flatnonzero(np.append(True, page[1:] != page[:-1]))
            sides = {side: batch.select(names) for side, names in needs.items()}
            made = []
            for start, stop in zip(starts, np.append(starts[1:], len(page)), strict=True):
                user, context = sides["user"].slice(start, 1), sides["context"].slice(start, 1)
                items = sides["item"].slice(start, stop - start)
                if count % 2:
                    made.append(predictor.features(user, items, context))
                else:
                    ahead = generator.items(items)
                    made.append(generator.request(user, context).score_items(ahead, tile=True))
                count += 1
            yield Table.concat(made)


class Rows:
    """Tables dealt out anew in any number of rows."""

    def __init__(self, tables: Iterator[Table]) -> None:
        self._tables, self._left = tables, None

    def take(self, rows: int) -> Table:
        """The next rows.

        Raises:
            StopIteration: There are fewer.
        """
        parts = [] if self._left is None else [self._left]
        while sum(part.num_rows for part in parts) < rows:
            parts.append(next(self._tables))
        whole = Table.concat(parts)
        self._left = whole.slice(rows, whole.num_rows)
        return whole.slice(0, rows)

    @property
    def ended(self) -> bool:
        """Whether no row is left."""
        return (self._left is None or not self._left.num_rows) and next(self._tables, None) is None


def differing(expected: Table, found: Table) -> Counter[str]:
    """Rows that differ, by output."""
    assert list(expected) == list(found)
    counts: Counter[str] = Counter()
    for name in expected:
        one, other = expected[name], found[name]
        if isinstance(one, Column):
            assert isinstance(other, Column)
            bits = [np.ascontiguousarray(c.values).view(np.uint32) for c in (one, other)]
            counts[name] = int((bits[0] != bits[1]).any(axis=1).sum())
        else:
            assert not isinstance(other, Column)
            counts[name] = len(differing_rows(one, other)[0])
    return counts


def trained(config: Path, folder: Path) -> Predictor:
    """A predictor of this config after a few steps."""
    few = {f"data.{part}.rows": 20_000 for part in ("train", "valid", "test")}
    run = easyrec.train(config, overrides=few, run_dir=folder / "run")
    return Predictor.load(run.bundle)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "shop" / "operators.yaml")
    options = parser.parse_args()
    settings = [f"data.train.rows={options.rows}", "data.train.split=all"]
    experiment = load_experiment(options.config, settings)
    generator, part = experiment.generator, open_sources(experiment).train
    assert part is not None
    source = part.source
    encoded = FeatureGenerator.load(experiment.features, mode="encoded")
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        predictor = trained(options.config, Path(folder))
        offline.run(generator, SourceFeed(source), Path(folder) / "encoded.parquet", reserve=["click"])
        ways = {
            "fg run": Rows(read(Parquet(path=str(Path(folder) / "encoded.parquet")).open(), encoded)),
            "training reader": Rows(read(source, generator)),
            "predictor": Rows(as_requests(source, predictor)),
        }
        counts: dict[str, Counter[str]] = {name: Counter() for name in ways}
        rows = 0
        for unit in source.units():
            for batch in source.read(unit, list(generator.inputs)):
                expected = generator.transform(batch)
                for name, way in ways.items():
                    counts[name] += differing(expected, way.take(batch.num_rows))
                rows += batch.num_rows
        unended = [name for name, way in ways.items() if not way.ended]
    result = {name: {"differing": sum(count.values()), "by_output": dict(count)} for name, count in counts.items()}
    table([{"way": name, "rows": rows, "outputs": len(generator.outputs), **one} for name, one in result.items()])
    save(
        "fg_consistency",
        {"rows": rows, "seconds": time.perf_counter() - start, "ways": result, "pyarrow": pa.__version__},
    )
    if unended or any(one["differing"] for one in result.values()):
        raise SystemExit(f"the ways differ; with more rows than there are: {unended}")


if __name__ == "__main__":
    main()
