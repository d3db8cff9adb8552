"""One contestant: Feast's online store, in an environment of its own.

`python feast_store.py FOLDER STORE [REDIS]`: the folder holds `users.parquet` and `items.parquet`, the columns of a view
named `<letter><number>`; STORE is `sqlite` or `redis`, REDIS its `host:port`. Orders come as lines of JSON, answers go as such:
`["publish", file, only items]` gives seconds and rows, `["read", views, call, [[user, [item, ...]], ...]]` the seconds of each request, and those
of a processor.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float32, Int64, String

warnings.filterwarnings("ignore")
TYPES = {"float32": Float32, "int64": Int64, "object": String, "string": String, "str": String}


class Contestant:
    """A repository of Feast with the same fields in one view and in ten.

    Args:
        folder: Where the rows lie.
        online: Config of the online store.
    """

    def __init__(self, folder: Path, online: dict[str, Any]) -> None:
        self.folder = folder
        self.frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("users", "items")}
        self.store = FeatureStore(
            config=RepoConfig(
                project="bench",
                provider="local",
                registry=str(folder / f"registry-{online['type']}.db"),
                online_store=online,
                entity_key_serialization_version=3,
            )
        )
        self.views: dict[tuple[str, int], list[FeatureView]] = {}
        made: list[Any] = []
        for name, key in (("users", "user_id"), ("items", "item_id")):
            entity = Entity(name=name, join_keys=[key], value_type=ValueType.INT64)
            made.append(entity)
            frame = self.frames[name]
            fields = [column for column in frame.columns if column not in (key, "ts")]
            source = FileSource(path=str(folder / f"{name}.parquet"), timestamp_field="ts")
            for views in (1, 10):
                parts = [
                    fields[part * len(fields) // views : (part + 1) * len(fields) // views] for part in range(views)
                ]
                self.views[name, views] = [
                    FeatureView(
                        name=f"{name}_{views}_{number}",
                        entities=[entity],
                        ttl=timedelta(days=30),
                        schema=[Field(name=field, dtype=TYPES[str(frame[field].dtype)]) for field in part],
                        source=source,
                    )
                    for number, part in enumerate(parts)
                ]
                made += self.views[name, views]
        self.store.apply(made)

    def publish(self, name: str, only_items: bool) -> tuple[float, int]:
        """Write a file's rows into the items' one view; then, not timed, everything else where that is wanted."""
        view, frame = self.views["items", 1][0], pd.read_parquet(self.folder / name)
        begun = time.perf_counter()
        self.store.write_to_online_store(view.name, frame)
        seconds = time.perf_counter() - begun
        for (entity, _), views in self.views.items():
            for other in views:
                if other is not view and not only_items:
                    columns = [*(field.name for field in other.schema), "ts"]
                    self.store.write_to_online_store(other.name, self.frames[entity][list(dict.fromkeys(columns))])
        return seconds, len(frame)

    def read(self, views: int, call: str, requests: list[tuple[int, list[int]]]) -> list[tuple[float, float]]:
        """Seconds of each request, and those of a processor.

        Args:
            views: 1 or 10.
            call: `two calls`, `two calls, to_dict` or `one call`.
            requests: A user and items each.
        """
        references = {
            name: [f"{v.name}:{f.name}" for v in self.views[name, views] for f in v.features]
            for name in ("users", "items")
        }
        calls: dict[str, Callable[[int, list[int]], Any]] = {
            "two calls": lambda user, items: (
                self.store.get_online_features(references["users"], [{"user_id": user}]),
                self.store.get_online_features(references["items"], {"item_id": items}),
            ),
            "one call": lambda user, items: (
                self.store.get_online_features(
                    references["users"] + references["items"], {"user_id": [user] * len(items), "item_id": items}
                ),
            ),
        }
        calls["two calls, to_dict"] = lambda user, items: [one.to_dict() for one in calls["two calls"](user, items)]
        took = []
        for user, items in requests:
            begun, busy = time.perf_counter(), time.process_time()
            found = calls[call](user, items)
            took.append((time.perf_counter() - begun, time.process_time() - busy))
        for one in found:  # every one was found
            values = one if isinstance(one, dict) else one.to_dict()
            assert None not in [value for column in values.values() for value in column]
        return took


def main() -> None:
    """Answer orders until there are no more."""
    folder, kind = Path(sys.argv[1]), sys.argv[2]
    where = {"connection_string": sys.argv[3]} if kind == "redis" else {"path": str(folder / "feast.db")}
    contestant = Contestant(folder, {"type": kind, **where})
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        order, *words = json.loads(line)
        print(json.dumps(getattr(contestant, order)(*words)), flush=True)


if __name__ == "__main__":
    main()
