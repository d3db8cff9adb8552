"""Training sets: a million rows joined to three views of 1, 3 and 1.5 million rows of ten numbers, beside Feast's duckdb engine.

Each run is a process of its own, in turn, and ends with a parquet file. Every row of ours is compared with what pandas'
`merge_asof` gives (with late rows too, `--created`), and every row of Feast's where no two rows of a key have one time.

    python benchmarks/training_sets.py --runs 3 --page
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from record import interleave, save, section, table
from train_throughput import PEERS, contestant, peers_python

FEAST = ("feast[duckdb]==0.67.*",)
START, DAYS, TTL_DAYS = 1_767_225_600, 60, 7
VIEWS = (
    ("a", "user_id", 100_000, 1_000_000),
    ("b", "user_id", 100_000, 3_000_000),
    ("c", "item_id", 50_000, 1_500_000),
)


def times(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Microseconds of some seconds of the days."""
    return (START + rng.integers(0, DAYS * 86_400, rows)) * 1_000_000


def made(folder: Path, rows: int) -> dict:
    """The tables, written once; some ids of the spine have no rows, and a day's rows become known up to a day late."""
    spec = {
        "folder": str(folder),
        "ttl_days": TTL_DAYS,
        "views": [{"name": n, "key": k, "fields": [f"{n}_{i}" for i in range(10)]} for n, k, *_ in VIEWS],
    }
    if (folder / "spec.json").exists():
        return spec
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    stamp = pa.timestamp("us", "UTC")
    for name, key, keys, full in VIEWS:
        count = full * rows // 1_000_000
        when, who = times(rng, count), rng.integers(0, keys, count)
        first = pd.DataFrame({"k": who, "t": when}).drop_duplicates().index.to_numpy()  # which row wins is no question
        when, who = when[first], who[first]
        columns = {key: who, "event_time": pa.array(when, stamp)}
        columns["created"] = pa.array(when + rng.integers(0, 86_400, len(when)) * 1_000_000, stamp)
        columns |= {f"{name}_{i}": rng.random(len(when), dtype=np.float32) for i in range(10)}
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    spine = {"user_id": rng.integers(0, 110_000, rows), "item_id": rng.integers(0, 55_000, rows)}
    spine |= {"event_time": pa.array(times(rng, rows), stamp), "row": np.arange(rows)}
    pq.write_table(pa.table(spine), folder / "spine.parquet")
    (folder / "spec.json").write_text(json.dumps(spec))
    return spec


def oracle(spec: dict, *, created: bool) -> pd.DataFrame:
    """What pandas says, in the order of the spine."""
    folder = Path(spec["folder"])
    spine = pd.read_parquet(folder / "spine.parquet").sort_values("event_time", kind="stable")
    for view in spec["views"]:
        key, names = view["key"], view["fields"]
        rows = pd.read_parquet(folder / f"{view['name']}.parquet")
        if created:
            # in the order in which they became known, a row that is older than one known before is never the latest
            rows = rows.sort_values(["created", "event_time"], kind="stable")
            rows = rows[rows["event_time"] == rows.groupby(key)["event_time"].cummax()]
            rows = rows.assign(known=rows["created"])
        else:
            rows = rows.sort_values("event_time", kind="stable").assign(known=rows["event_time"])
        rows = rows.rename(columns={"event_time": "of"}).drop(columns="created")
        spine = pd.merge_asof(spine, rows, left_on="event_time", right_on="known", by=key)
        old = ~(spine["event_time"] - spine["of"] <= pd.Timedelta(days=spec["ttl_days"]))
        spine.loc[old, names] = np.nan
        spine = spine.drop(columns=["of", "known"])
    return spine.sort_values("row").reset_index(drop=True)


def unequal(path: Path, expected: pd.DataFrame, spec: dict) -> int:
    """How many rows of a file differ from the oracle's, in any bit of any column."""
    names = [name for view in spec["views"] for name in view["fields"]]
    found = pq.read_table(path, columns=["row", *names]).to_pandas().sort_values("row").reset_index(drop=True)
    if len(found) != len(expected) or not (found["row"] == expected["row"]).all():
        sys.exit(f"{path.name} has {len(found):,} rows, not those of the spine")
    ours, theirs = (frame[names].to_numpy(np.float32).view(np.uint32) for frame in (found, expected))
    nulls = np.isnan(ours.view(np.float32)) & np.isnan(theirs.view(np.float32))
    return int(((ours != theirs) & ~nulls).any(axis=1).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true", help="leave Feast out")
    parser.add_argument("--page", action="store_true", help="write the table into docs/benchmarks.md")
    args = parser.parse_args()
    folder = PEERS / f"training-sets-{args.rows}"
    spec = made(folder, args.rows)
    path = folder / "spec.json"
    contestants = {
        "easyrec": contestant(sys.executable, "ours_training_set.py", path),
        "easyrec, late rows unseen": contestant(sys.executable, "ours_training_set.py", path, "--created"),
    }
    if not args.no_peer:
        peer = peers_python("feast_offline", FEAST)
        contestants["Feast 0.67, duckdb"] = contestant(peer, "peers/feast_training_set.py", path)
    found = interleave(contestants, args.runs)
    plain = oracle(spec, created=False)
    wrong = {
        "easyrec": unequal(folder / "ours.parquet", plain, spec),
        "easyrec, late rows unseen": unequal(folder / "ours-created.parquet", oracle(spec, created=True), spec),
    }
    if not args.no_peer:
        wrong["Feast 0.67, duckdb"] = unequal(folder / "feast.parquet", plain, spec)
    rows = [
        {
            "": name,
            "rows": int(figures["rows"]),
            "CPU s": round(figures["cpu_s"], 2),
            "peak MB": round(figures["peak_mb"]),
            "rows unlike pandas'": wrong[name],
        }
        for name, figures in found.items()
    ]
    table(rows)
    result: dict = {"rows": args.rows, "runs": args.runs, "contestants": found, "unequal": wrong}
    if not args.no_peer:
        ours, theirs = found["easyrec"], found["Feast 0.67, duckdb"]
        ratios = {key: round(ours[key] / theirs[key], 3) for key in ("cpu_s", "wall_s", "peak_mb")}
        print("ours / Feast's:", ratios, " goals: cpu <= 0.4, peak <= 0.65")
        result["ratios"] = ratios
    save("training_sets", result)
    if args.page:
        section("training_sets", rows)
    if any(wrong[name] for name in wrong if name.startswith("easyrec")):
        sys.exit("rows of ours differ from pandas'")


if __name__ == "__main__":
    main()
