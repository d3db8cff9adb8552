"""Peak memory of `easyrec fg run` on an input of any size.

The input is made once and kept in `.data/fg_run_memory`, part by part: a stopped script goes on where it stopped. A
row has 6 ids, 4 numbers, a list of tags and a text of 50 steps, about 500 bytes; parts are uncompressed, with row groups of
half a million rows, far larger than what may be held in memory. The command runs in a process of its own, and its
peak is what the system counted for that process. The goal: a 10 GB input stays under 1 GB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from record import ROOT, save, table

DATA = ROOT / ".data" / "fg_run_memory"
PART_ROWS = 500_000
LIMIT_MB = 1000

RUN = """
import sys
from pathlib import Path
from easyrec.cli import main
code = main(sys.argv[2:])
Path(sys.argv[1]).write_text(Path("/proc/self/status").read_text())
sys.exit(code)
"""
"""The command, and at its end what the system knows of the process. What `wait4` tells would count this one's memory too:
a child starts with its parent's peak."""

FEATURES = """\
features:
  - {type: id, name: user, expression: "user:id0", hash_bucket_size: 1000000}
  - {type: id, name: item, expression: "item:id1", hash_bucket_size: 1000000}
  - {type: id, name: shop, expression: "item:id2", hash_bucket_size: 100000}
  - {type: id, name: brand, expression: "item:id3", num_buckets: 10000000}
  - {type: id, name: city, expression: "user:id4", num_buckets: 10000000, value_dim: 1}
  - {type: id, name: scene, expression: "context:id5", hash_bucket_size: 100}
  - {type: raw, name: price, expression: "item:x0", normalizer: "method=log10"}
  - {type: raw, name: age, expression: "user:x1", boundaries: [0.1, 0.2, 0.5, 1, 2, 5]}
  - {type: raw, name: both, expression: "item:x2"}
  - {type: raw, name: other, expression: "item:x3"}
  - {type: id, name: tags, expression: "item:tags", hash_bucket_size: 100000}
  - {type: combo, name: cross, expression: ["user:id4", "item:id1"], hash_bucket_size: 1000000}
  - {type: id, name: clicks, expression: "user:clicks", hash_bucket_size: 1000000, sequence_length: 50}
"""


def rows(n: int, seed: int) -> pa.Table:
    """N rows of the input."""
    rng = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {f"id{i}": pa.array(rng.integers(0, 10_000_000, n)) for i in range(6)}
    columns |= {f"x{i}": pa.array(rng.lognormal(size=n)) for i in range(4)}
    counts = np.append(0, np.cumsum(rng.integers(0, 6, n))).astype(np.int32)
    columns["tags"] = pa.ListArray.from_arrays(counts, pa.array(rng.integers(0, 5000, counts[-1])).cast(pa.string()))
    steps = pa.array(rng.integers(0, 10_000_000, 50 * n)).cast(pa.string())
    lists = pa.ListArray.from_arrays(pa.array(np.arange(0, 50 * n + 1, 50, dtype=np.int32)), steps)
    columns["clicks"] = pc.binary_join(lists, ";")
    return pa.table(columns)


def make(gigabytes: float) -> list[Path]:
    """Parts of the input, as many as it takes; those that are there are kept."""
    DATA.mkdir(parents=True, exist_ok=True)
    parts: list[Path] = []
    while sum(part.stat().st_size for part in parts) < gigabytes * 1e9:
        part = DATA / f"part-{len(parts):04d}.parquet"
        if not part.exists():
            partial = part.with_suffix(".writing")
            content = rows(PART_ROWS, len(parts))
            pq.write_table(content, partial, row_group_size=PART_ROWS, compression="none", use_dictionary=False)
            partial.rename(part)
        parts.append(part)
        print(f"\r{len(parts)} parts", end="", flush=True)
    print()
    return parts


def measure(parts: list[Path], threads: int | None) -> dict[str, float]:
    """One run of the command: MB at its peak, seconds, sizes."""
    config, output, told = DATA / "features.yaml", DATA / "out.parquet", DATA / "status"
    config.write_text(FEATURES)
    command = [sys.executable, "-c", RUN, str(told), "fg", "run", "-c", str(config), "--output", str(output)]
    command += ["--overwrite", *(["--threads", str(threads)] if threads else []), "--input", *map(str, parts)]
    start = time.perf_counter()
    child = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"easyrec fg run ended with {child.returncode}")
    seconds = time.perf_counter() - start
    peak = next(line for line in told.read_text().splitlines() if line.startswith("VmHWM"))
    made = pq.read_metadata(output).num_rows
    result = {
        "input_mb": sum(part.stat().st_size for part in parts) / 1e6,
        "output_mb": output.stat().st_size / 1e6,
        "rows": made,
        "peak_mb": int(peak.split()[1]) * 1024 / 1e6,
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "k_rows_per_s": made / seconds / 1e3,
    }
    output.unlink()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1.0, 10.0], help="sizes of the input")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    results = []
    for gigabytes in options.gigabytes:
        results.append(measure(make(gigabytes), options.threads))
        table(results)
    worst = max(result["peak_mb"] for result in results)
    print(f"peak {worst:,.0f} MB, the limit is {LIMIT_MB:,} MB")
    save("fg_run_memory", {"runs": results, "threads": options.threads, "limit_mb": LIMIT_MB})
    if worst > LIMIT_MB:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
