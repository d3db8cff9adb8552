"""A log of a shop: exposures, clicks and buys, by request and item, out of order and some of them twice."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BEGIN = 1_700_000_000_000_000
COLUMNS = {"id": "string", "request_id": "string", "user_id": "int64", "item_id": "int64", "ts": "timestamp"}
DISORDER = 5_000_000
"""Microseconds by which an event comes after a later one."""


def write(folder, exposures, seed=0, hours=4):
    """Write `exposure.parquet`, `click.parquet` and `buy.parquet`, and give the number of their events."""
    rng = np.random.default_rng(seed)
    shown = np.sort(rng.integers(0, hours * 3_600_000_000, exposures)) + BEGIN
    frame = {
        "request_id": [f"r{n // 8}" for n in range(exposures)],
        "user_id": rng.integers(0, max(2, exposures // 20), exposures),
        "item_id": rng.integers(0, max(2, exposures // 20), exposures),
        "position": np.arange(exposures) % 8,
    }
    frame = pa.table({name: pa.array(values) for name, values in frame.items()})
    clicked = rng.choice(exposures, exposures // 6, replace=False)
    clicks = shown[clicked] + rng.exponential(240e6, len(clicked)).astype(np.int64)
    bought = rng.choice(len(clicked), len(clicked) // 4, replace=False)
    buys = clicks[bought] + rng.exponential(1200e6, len(bought)).astype(np.int64)
    kinds = {
        "exposure": (frame, shown),
        "click": (frame.take(pa.array(clicked)).drop(["position"]), clicks),
        "buy": (frame.take(pa.array(clicked[bought])).drop(["position"]), buys),
    }
    total = 0
    for kind, (rows, times) in kinds.items():
        whole = rows.append_column("ts", pa.array(times, pa.timestamp("us", "UTC")))
        whole = whole.append_column("id", pa.array([f"{kind}{n}" for n in range(len(times))]))
        twice = rng.choice(len(times), len(times) // 50, replace=False)
        order = np.concatenate([np.arange(len(times)), twice])
        order = order[np.argsort(times[order] + rng.integers(0, DISORDER, len(order)), kind="stable")]
        pq.write_table(whole.take(pa.array(order)), folder / f"{kind}.parquet", row_group_size=20_000)
        total += len(order)
    return total


def definitions(folder, **more):
    """The content of `store.yaml` for these files."""

    def events(kind, **rest):
        source = {"type": "parquet", "path": str(folder / f"{kind}.parquet")}
        return {"source": source, "columns": COLUMNS, "event_time": "ts", "id": "id", "lateness": "6s", **rest}

    samples = {
        "name": "ctr",
        "keys": ["request_id", "item_id"],
        "exposures": events("exposure", columns={**COLUMNS, "position": "int64"}),
        "labels": [
            events("click", name="click", window="10m"),
            events("buy", name="buy", of="click", window="1h", keys=["user_id", "item_id"]),
        ],
        "output": {"type": "parquet", "path": str(folder / "samples"), "partition": "hour"},
        "state": {"type": "sqlite", "path": str(folder / "state.db")},
        **{key: value for key, value in more.items() if key != "batch_rows"},
    }
    samples["exposures"]["batch_rows"] = more.get("batch_rows", 50_000)
    view = {"name": "profile", "entity": "user", "fields": [{"name": "age", "type": "int64"}]}
    return {
        "project": "shop",
        "online": {"type": "memory"},
        "entities": [{"name": "user", "join_id": "user_id"}],
        "views": [view],
        "models": [{"name": "seen", "features": [{"view": "profile"}]}],
        "samples": [samples],
    }
