"""Tables for recall, counted anew from the newest positive samples: popular items, and neighbours of items."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from easyrec.durable import sync
from easyrec.errors import RunError
from easyrec.export.statistic import NEIGHBOURS, read_counted
from easyrec.loop.config import LoopConfig, TableConfig
from easyrec.loop.joining import JOINED
from easyrec.loop.versions import read_manifest, write_manifest
from easyrec.loop.window import TIME, parts_from
from easyrec.train import api

logger = logging.getLogger("easyrec.loop")


class Tables:
    """Counts tables when they are due.

    Args:
        loop: The loop.
        plugins: Files and packages with more statistics, features, ...
    """

    def __init__(self, loop: LoopConfig, plugins: list[str]) -> None:
        self.loop, self.plugins = loop, plugins

    def refresh(self) -> bool:
        """Count those that are due; says whether there was one."""
        joined = read_manifest(Path(self.loop.samples) / JOINED) if self.loop.tables else None
        if joined is None:
            return False
        done = False
        for table in self.loop.tables:
            done |= self._refresh(table, int(joined["steps"]), joined["watermark"] / 1e3)
        return done

    def _refresh(self, table: TableConfig, steps: int, watermark: float) -> bool:
        told = self.loop.folder / "tables" / f"{table.name}.json"
        before = read_manifest(told) or {"newest": None, "steps": 0}
        if steps == before["steps"]:
            return False
        if before["newest"] is not None and watermark - before["newest"] < table.every * 1e3:
            return False
        parts = parts_from(Path(self.loop.samples), 0, steps)
        newest = max((part.newest for part in parts), default=None)
        if newest is None or (before["newest"] is not None and newest - before["newest"] < table.every * 1e3):
            return False
        begun, oldest = time.monotonic(), newest - table.age * 1e3
        label = table.label or self._label()
        found = []
        for part in parts:
            if part.newest >= oldest:
                rows = pq.read_table(part.path, partitioning=None)
                found.append(rows.filter(pc.and_(pc.greater(rows[label], 0), pc.greater_equal(rows[TIME], oldest))))
        rows = pa.concat_tables(found, promote_options="default") if found else None
        if rows is None or not rows.num_rows:
            return False
        run = self.loop.folder / "tables" / table.name
        done = api.train(
            table.experiment,
            data={"train": rows},
            plugins=self.plugins,
            run_dir=run,
            overwrite=True,
            progress=False,
            overrides={"data.valid": None, "data.test": None},
        )
        assert done.bundle is not None
        made = self._table(done.bundle, table)
        _write(Path(table.to), made)
        manifest = {"newest": newest, "steps": steps, "rows": rows.num_rows, "entries": made.num_rows}
        write_manifest(told, {**manifest, "seconds": round(time.monotonic() - begun, 3), "at": time.time()})
        logger.info("table '%s': %d entries of %d samples", table.name, made.num_rows, rows.num_rows)
        return True

    def _label(self) -> str:
        if self.loop.join is None:
            raise RunError("tables: name the label whose samples are counted: the loop has no 'join' that says it")
        return self.loop.join.labels[0].name

    def _table(self, bundle: Path, table: TableConfig) -> pa.Table:
        """Neighbours; of a statistic without links, the items by how often they were taken."""
        neighbours = pq.read_table(bundle / NEIGHBOURS)
        if neighbours.num_rows:
            return neighbours
        from easyrec.config import load_experiment  # noqa: PLC0415 (of popular items alone)

        counted: Any = read_counted(bundle, load_experiment(table.experiment, plugins=self.plugins), 1)
        popular = pa.table({counted.column: counted.ids, "score": pa.array(counted.bias, pa.float32())})
        popular = popular.filter(pc.greater(popular["score"], 0.0))
        return popular.sort_by([("score", "descending"), (counted.column, "ascending")])


def _write(path: Path, table: pa.Table) -> None:
    partial = path.with_name(f".{path.name}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, partial)
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
