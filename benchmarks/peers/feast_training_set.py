"""Feast's side of `training_sets.py`: `get_historical_features` of its duckdb engine, written to parquet.

    python feast_training_set.py SPEC OUT

Feast scans whole views and filters them by the spine's times; ties and late rows are as `training_sets.py` says.
"""

import json
import resource
import sys
import time
from datetime import timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.infra.offline_stores.duckdb import DuckDBOfflineStoreConfig
from feast.types import Float32


def main() -> None:
    spec, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    folder = Path(spec["folder"])
    registry = folder / "feast-registry.db"
    registry.unlink(missing_ok=True)
    config = RepoConfig(
        project="p",
        registry=str(registry),
        provider="local",
        offline_store=DuckDBOfflineStoreConfig(),
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    entities = {key: Entity(name=key, join_keys=[key]) for key in {view["key"] for view in spec["views"]}}
    views = [
        FeatureView(
            name=view["name"],
            entities=[entities[view["key"]]],
            ttl=timedelta(days=spec["ttl_days"]),
            schema=[Field(name=name, dtype=Float32) for name in view["fields"]],
            source=FileSource(path=str(folder / f"{view['name']}.parquet"), timestamp_field="event_time"),
        )
        for view in spec["views"]
    ]
    store.apply([*entities.values(), *views])
    used, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    spine = pd.read_parquet(folder / "spine.parquet").rename(columns={"event_time": "event_timestamp"})
    names = [f"{view['name']}:{name}" for view in spec["views"] for name in view["fields"]]
    found = store.get_historical_features(entity_df=spine, features=names).to_arrow()
    import pyarrow.parquet as pq  # noqa: PLC0415 (after it has been loaded by the peer)

    pq.write_table(found, folder / "feast.parquet")
    now = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "cpu_s": now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime,
        "wall_s": time.perf_counter() - begun,
        "peak_mb": next(
            int(line.split()[1]) / 1024
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmHWM")
        ),
        "rows": found.num_rows,
    }
    out.write_text(json.dumps(told))


if __name__ == "__main__":
    main()
