"""The shop's clicks and purchases through the store into a DIN: what it was trained on is what it is served, bit for bit."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from easyrec.data.shop import generate
from easyrec.store.definitions import load_store
from easyrec.store.online.memory import MemoryStore
from easyrec.store.reader import ModelReader
from easyrec.store.writer import Writer
from feature_generator import FeatureGenerator

pytest.importorskip("duckdb", reason="needs the extra 'store'")
from easyrec.store.point_in_time import training_set

pytestmark = pytest.mark.slow

LENGTHS = {"click_seq": 50, "buy_seq": 20}
FEATURES = [
    {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": 200, "embedding_dim": 8},
    {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 10000, "embedding_dim": 8},
    *(
        {
            "type": "sequence",
            "name": name,
            "sequence_length": length,
            "features": [
                {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": 200, "embedding_name": "cate"},
                {
                    **{"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 10000},
                    "embedding_name": "item_id",
                },
                {
                    **{"type": "raw", "name": "ts", "expression": "user:ts", "embedding_dim": 4},
                    "boundaries": [900, 3600, 14400, 86400, 604800],
                },
            ],
        }
        for name, length in LENGTHS.items()
    ),
]
for feature in FEATURES[2:]:
    for child in feature["features"][:2]:
        child["embedding_dim"] = 8


@pytest.fixture(scope="module")
def log():
    """Exposures of some users on the last days, and all events of these users in the order of their times."""
    shop = generate(20_000, 3)
    columns = ["request_id", "timestamp", "user_id", "item_id", "cate", "click"]
    columns += [f"{name}__{field}" for name in LENGTHS for field in ("item_id", "timestamp")]
    rows = shop.table("test", columns)
    rows = rows.filter(pc.less(rows["user_id"], 8000))
    parts = []
    for name, events in (("click", shop.clicks.events), ("buy", shop.buys.events)):
        own = np.isin(events.user, rows["user_id"].to_numpy())
        item = events.item[own]
        parts.append(
            pa.table(
                {
                    "user_id": events.user[own],
                    "item_id": item,
                    "event": pa.array([name] * len(item)),
                    "cate": shop.catalogue.cate[item].astype(np.int32),
                    "at": events.time[own],
                }
            )
        )
    return rows, pa.concat_tables(parts).sort_by("at")


@pytest.fixture(scope="module")
def config(log, tmp_path_factory):
    path = tmp_path_factory.mktemp("shop") / "events.parquet"
    pq.write_table(log[1], path)
    sequences = [
        {"name": name, "events": [name.removesuffix("_seq")], "length": length, "distinct": False}
        for name, length in LENGTHS.items()
    ]
    fields = {"item_id": "int64", "event": "string", "cate": "int32"}
    view = {
        **{"name": "behaviour", "type": "sequence", "entity": "user", "event_time": "at"},
        "source": {"type": "parquet", "path": str(path)},
        "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
        "events": {"item": "item_id", "name": "event", "keep": 100, "sequences": sequences},
    }
    return load_store(
        {
            "project": "shop",
            "online": {"type": "memory"},
            "entities": [{"name": "user", "join_id": "user_id"}],
            "views": [view],
            "models": [{"name": "ctr", "features": [{"view": "behaviour"}]}],
        }
    )


@pytest.fixture(scope="module")
def trained_on(log, config):
    rows = log[0].drop_columns([name for name in log[0].column_names if "__" in name])
    return training_set(config, "ctr", rows, event_time="timestamp", threads=1).table


@pytest.fixture(scope="module")
def served(log, config):
    """What was read for each exposure: its request's row, of a store that the events came into."""
    rows, events = log
    clock = [0.0]
    store = MemoryStore("shop")
    writer = Writer(config, store, lambda: clock[0])
    reader = ModelReader(config, store, "ctr", lambda: clock[0])
    times = events["at"].to_numpy()
    requests = rows["request_id"].to_numpy()
    at, users = rows["timestamp"].to_numpy(), rows["user_id"].to_numpy()
    first = int(np.searchsorted(times, at[0]))
    writer.publish("behaviour", events.slice(0, first + 500).to_batches())  # of which some are still to come
    written, found = first, []
    for place, request in enumerate(requests):
        if place and request == requests[place - 1]:
            found.append(found[-1])
            continue
        clock[0] = float(at[place])
        come = int(np.searchsorted(times, at[place]))
        if come > written:
            for batch in events.slice(written, come - written).to_batches():
                writer.write("behaviour", batch)
            written = come
        found.append(reader.read({"user_id": [int(users[place])]})["user_id"])
    return pa.Table.from_batches(found)


def test_sequences_are_those_of_the_shop(log, trained_on):
    for name, length in LENGTHS.items():
        made, given = (
            [pc.list_flatten(column) for column in columns] for columns in _pairs(log[0], trained_on, name, length)
        )
        assert len(made[0]) > 1000
        for ours, theirs in zip(made, given, strict=True):
            assert ours.to_pylist() == theirs.to_pylist()


def _pairs(rows, trained_on, name, length):
    """Items and times of both, those of one second in one order."""
    result = []
    for table, time in ((trained_on, "at"), (rows, "timestamp")):
        items, times = [], []
        columns = (table[f"{name}__{field}"].to_pylist() for field in ("item_id", time))
        for item, when in zip(*columns, strict=True):
            both = sorted(zip(when[-length:], item[-length:], strict=True))
            # the first second may be cut
            times.append([second for second, _ in both])
            items.append([one for second, one in both if second != both[0][0]])
        result.append([pa.array(items), pa.array(times)])
    return result


def test_what_is_trained_on_is_what_is_served(log, trained_on, served):
    generator = FeatureGenerator.load({"features": FEATURES})
    items = {name: log[0][name] for name in ("item_id", "cate")}
    offline = generator.transform(trained_on.select([*items, *served.column_names]).combine_chunks().to_batches()[0])
    online = generator.transform(
        pa.table({**items, **{name: served[name] for name in served.column_names}}).combine_chunks().to_batches()[0]
    )
    steps = 0
    for name in offline:
        one, other = offline[name], online[name]
        np.testing.assert_array_equal(one.values, other.values)
        if name.partition("__")[0] in LENGTHS:
            np.testing.assert_array_equal(one.lengths, other.lengths)
            steps += one.lengths.sum()
    assert steps > 10_000


def test_a_din_of_the_training_set_scores_what_is_read(log, trained_on, served, tmp_path):
    import easyrec
    from serving import Predictor

    pq.write_table(trained_on, tmp_path / "train.parquet")
    source = {"type": "parquet", "path": str(tmp_path / "train.parquet")}
    sequences = [{"sequence": name, "encoder": {"type": "din", "hidden": [8]}} for name in LENGTHS]
    run = easyrec.train(
        {
            "name": "din",
            "data": {"train": source, "valid": source, "labels": ["click"], "batch_size": 256},
            "features": FEATURES,
            "model": {
                **{"type": "din", "hidden": [16]},
                "groups": {"deep": {"features": ["cate", "item_id"], "sequences": sequences}},
            },
            "train": {"epochs": 1, "threads": 1, "sparse_optimizer": {"type": "lazy_adam", "lr": 0.01}},
        },
        run_dir=tmp_path / "run",
        progress=False,
    )
    items = pa.table({name: log[0][name] for name in ("item_id", "cate")})
    rows = items.num_rows
    with Predictor.load(run.bundle) as predictor:
        both = [
            predictor.predict_batch(table.combine_chunks().to_batches()[0])["click"]
            for table in (trained_on, pa.table({**{n: items[n] for n in items.column_names}, **_columns(served)}))
        ]
    assert len(both[0]) == rows
    np.testing.assert_array_equal(*both)
    assert len(np.unique(both[0])) > rows / 2


def _columns(table):
    return {name: table[name] for name in table.column_names}
