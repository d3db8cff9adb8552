"""`fg run` and `predict` of the shop by one process, by Ray and by Spark: equal to the bit, and what an engine costs.

    python benchmarks/engines.py [--rows 1000000] [--runs 1] [--workers 2] [--engines ray spark]

One model is trained on a smaller shop. Then every engine runs the same command lines over the same file, in turn, each
in a process of its own, from its start to its end: on one machine an engine adds its start, and workers that load what
one process has loaded once. All outputs are compared with those of one process, column by column, value by value.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from record import ROOT, interleave, save, table

import easyrec
from easyrec.data.sources.synthetic import Config as Synthetic

FOLDER = ROOT / ".data" / "engines"
CONFIG = ROOT / "configs" / "shop" / "deepfm.yaml"
GROUP_ROWS = 50_000
"""No multiple of a batch: slices of scores must end inside row groups."""
PACKAGES = {"ray": "ray", "spark": "pyspark"}


def prepare(rows: int) -> Path:
    """The rows as one file, and a trained run."""
    path = FOLDER / f"rows-{rows}.parquet"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        source = Synthetic(rows=rows).open()
        names = list(source.columns)
        whole = pa.Table.from_batches([batch for unit in source.units() for batch in source.read(unit, names)])
        partial_path = path.with_suffix(".writing")
        pq.write_table(whole, partial_path, row_group_size=GROUP_ROWS)
        partial_path.rename(path)
    if not (FOLDER / "run" / "metrics.json").exists():
        laid = {f"data.{part}.rows": 100_000 for part in ("train", "valid", "test")}
        laid |= {"data.reserved": ["user_id", "item_id"]}
        easyrec.train(CONFIG, overrides=laid, run_dir=FOLDER / "run", overwrite=True, export=False, progress=False)
    return path


def command(engine: str, work: str, rows: Path, workers: int) -> dict[str, float]:
    """Run a command line; seconds of the whole process and of the work that it tells of."""
    output = output_of(engine, work)
    shutil.rmtree(output, ignore_errors=True)
    output.unlink(missing_ok=True)
    words = ["fg", "run"] if work == "fg" else ["predict"]
    words += ["-c", str(FOLDER / "run"), "--input", str(rows), "--output", str(output)]
    words += [] if engine == "local" else ["--engine", engine, f"workers={workers}"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "easyrec", *words], env=env, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{engine} {work} ended with {done.returncode}\n{done.stderr[-3000:]}")
    told = re.search(r"^ *seconds +([\d.,]+)", done.stdout, re.MULTILINE)
    return {"seconds": seconds, "seconds of work": float(told[1].replace(",", "")) if told else seconds}


def output_of(engine: str, work: str) -> Path:
    """Where a command writes."""
    return FOLDER / (f"{work}.parquet" if engine == "local" else f"{work}-{engine}")


def compare(engine: str, work: str) -> int:
    """Assert that an engine wrote what one process did; the number of parts."""
    alone = pq.ParquetFile(output_of("local", work)).schema_arrow
    parts = sorted(output_of(engine, work).glob("*.parquet"))
    for part in parts:
        assert pq.read_schema(part).equals(alone, check_metadata=True), f"{part}: other columns"
    for name in alone.names:
        ours = pa.concat_tables([pq.read_table(part, columns=[name]) for part in parts])
        assert ours.equals(pq.read_table(output_of("local", work), columns=[name])), f"{engine}, {work}: {name} differs"
    return len(parts)


def main() -> None:
    """Measure, compare, print the table, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engines", nargs="*", default=list(PACKAGES), choices=list(PACKAGES))
    args = parser.parse_args()
    absent = [engine for engine in args.engines if importlib.util.find_spec(PACKAGES[engine]) is None]
    if absent:
        sys.exit(f"{', '.join(absent)} is not installed: pip install 'easyrec-torch[{','.join(absent)}]'")
    path, lines = prepare(args.rows), []
    for work in ("fg", "predict"):
        contestants: dict[str, Callable[[], dict[str, float]]] = {
            engine: partial(command, engine, work, path, args.workers) for engine in ("local", *args.engines)
        }
        figures = interleave(contestants, args.runs)
        for engine, found in figures.items():
            parts = 1 if engine == "local" else compare(engine, work)
            line = {"work": work, "engine": engine, "parts": parts, **{k: round(v, 1) for k, v in found.items()}}
            lines.append(line | {"rows/s": round(args.rows / found["seconds of work"]), "equal to local": "yes"})
    table(lines)
    about = {"rows": args.rows, "runs": args.runs, "workers": args.workers, "load": round(os.getloadavg()[1], 1)}
    save("engines", {**about, "lines": lines})


if __name__ == "__main__":
    main()
