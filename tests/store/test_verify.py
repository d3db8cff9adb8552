"""Served rows replayed through point-in-time joins: none differs, and a difference that was planted is found with its cause."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main
from easyrec.errors import DataError, StoreError
from easyrec.store.compare import edits, same, smape
from easyrec.store.definitions import load_store
from easyrec.store.online.memory import MemoryStore
from easyrec.store.read_log import ReadLog
from easyrec.store.reader import ModelReader
from easyrec.store.writer import Writer
from serving.features import FeatureSource

pytest.importorskip("duckdb", reason="needs the extra 'store'")
from easyrec.store.verify import AGE, LATE, MISSING, UNKNOWN, VERSION, _spread, verify

START, DAY = 1_700_000_000, 86_400
USERS, ITEMS = 200, 60


def definitions(folder, **profile):
    parquet = {name: {"type": "parquet", "path": str(folder / f"{name}.parquet")} for name in ("users", "items", "did")}
    return {
        "project": "shop",
        "online": {"type": "memory"},
        "entities": [{"name": "user", "join_id": "user_id"}, {"name": "item", "join_id": "item_id"}],
        "views": [
            {
                **{"name": "profile", "entity": "user", "source": parquet["users"], "event_time": "at", "ttl": "2d"},
                "created_time": "known",
                "fields": [{"name": "age", "type": "int64"}, {"name": "tags", "type": "array<string>"}],
                **profile,
            },
            {
                **{"name": "behaviour", "type": "sequence", "entity": "user", "source": parquet["did"], "ttl": "1d"},
                **{"event_time": "at", "created_time": "known"},
                "fields": [{"name": "item_id", "type": "int64"}, {"name": "event", "type": "string"}],
                "events": {
                    **{"item": "item_id", "name": "event", "keep": 20},
                    "sequences": [{"name": "clicks", "events": ["click"], "length": 10}],
                },
            },
            {
                **{"name": "items", "entity": "item", "source": parquet["items"], "event_time": "at"},
                "fields": [{"name": "price", "type": "float"}, {"name": "vector", "type": "vector<2>"}],
            },
        ],
        "models": [
            {
                "name": "ctr",
                "features": [
                    {"view": "profile", "alias": {"age": "user_age"}},
                    {"view": "behaviour"},
                    {"view": "items"},
                ],
            }
        ],
    }


def times(seconds):
    micros = ((START + np.asarray(seconds, np.float64)) * 1e6).astype(np.int64)
    return pa.array(micros).cast(pa.timestamp("us", "UTC"))


class Life:
    """Some days of a shop: rows that come into the store as they become known, and reads that are kept."""

    def __init__(self, folder, reads, days=5.0, seed=0, clicks=4000, profiles=600, together=1):
        self.folder, rng = folder, np.random.default_rng(seed)
        self.config = load_store(definitions(folder))
        at = np.sort(rng.uniform(0, days * DAY, profiles))
        known = at + rng.exponential(600, profiles)
        user = rng.integers(0, USERS, profiles)
        tags = [[f"t{n}" for n in range(count)] for count in rng.integers(0, 4, profiles)]
        age = pa.array(rng.integers(18, 80, profiles), mask=rng.random(profiles) < 0.1)
        self.users = pa.table({"user_id": user, "age": age, "tags": tags, "at": times(at), "known": times(known)})
        when = np.sort(rng.uniform(0, days * DAY, clicks))
        late = when + rng.exponential(60, clicks)
        items, names = rng.integers(0, ITEMS, clicks), rng.choice(["click", "like"], clicks)
        own = rng.integers(0, USERS, clicks)
        self.did = pa.table({"user_id": own, "item_id": items, "event": names, "at": times(when), "known": times(late)})
        prices = rng.random(ITEMS).astype(np.float32)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rng.random(2 * ITEMS).astype(np.float32)), 2)
        self.items = pa.table(
            {"item_id": np.arange(ITEMS), "price": prices, "vector": vectors, "at": times([0] * ITEMS)}
        )
        for name in ("users", "did", "items"):
            pq.write_table(getattr(self, name), folder / f"{name}.parquet")
        self.now, self.store = float(START), MemoryStore("shop")
        self.log = ReadLog(self.config, "ctr", folder / "reads", sample=1.0)
        self.writer = Writer(self.config, self.store, lambda: self.now)
        self.reader = ModelReader(self.config, self.store, "ctr", lambda: self.now, self.log)
        self.writer.publish("items", self.items.to_batches())
        self.run(np.sort(rng.uniform(0.1 * DAY, (days + 1) * DAY, reads)), rng, known, late, together)
        self.log.close()

    def run(self, moments, rng, known, late, together):
        orders = {"profile": (self.users, known), "behaviour": (self.did, late)}
        orders = {name: (table.take(np.argsort(made)), np.sort(made)) for name, (table, made) in orders.items()}
        written = dict.fromkeys(orders, 0)
        for moment in moments:
            self.now = START + float(moment)
            for name, (table, made) in orders.items():
                come = int(np.searchsorted(made, moment, side="right"))
                if come > written[name]:
                    for batch in table.slice(written[name], come - written[name]).to_batches():
                        self.writer.write(name, batch)
                    written[name] = come
            users, items = rng.integers(0, USERS + 5, together), rng.integers(0, ITEMS + 2, 3 * together)
            self.reader.read({"user_id": users.tolist(), "item_id": items.tolist()})

    def verify(self, **change):
        return verify(load_store(definitions(self.folder, **change)), "ctr", self.folder / "reads", threads=1)


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    return Life(tmp_path_factory.mktemp("life"), 500)


def named(found):
    return {one.name: one for one in found.features}


def test_nothing_differs(life):
    found = life.verify()
    assert found.rows == 2000
    assert (found.share, found.expired, found.absent) == (0.0, 0, [])
    assert {one.name: one.values for one in found.features} == {
        **dict.fromkeys(["user_age", "tags", *(f"clicks__{n}" for n in ("item_id", "event", "at", "ts"))], 500),
        **dict.fromkeys(["price", "vector"], 1500),
    }
    counts = life.reader.counts()
    assert counts["profile"].expired > 20
    assert counts["behaviour"].expired > 20


@pytest.mark.slow
def test_nothing_differs_in_100_000_requests(tmp_path):
    life = Life(tmp_path, 5000, seed=1, clicks=40_000, together=20)
    found = life.verify()
    assert found.rows == 400_000
    assert (found.share, found.expired) == (0.0, 0)
    assert life.reader.counts()["profile"].expired > 1000


def test_a_shorter_ttl_is_told_as_age(life):
    found = named(life.verify(ttl="1d"))["user_age"]
    assert found.extra > 50
    assert found.mismatch == 0
    assert set(found.causes) == {AGE}


@pytest.fixture
def copied(life, tmp_path):
    """A life whose tables may be changed."""
    made = Life.__new__(Life)
    made.__dict__ |= life.__dict__
    made.folder = tmp_path
    for path in life.folder.glob("*.parquet"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "reads").symlink_to(life.folder / "reads")
    return made


def test_a_single_planted_difference_is_found(life, copied):
    read = pq.read_table(copied.folder / "items.parquet")
    prices = read["price"].to_pylist()
    prices[7] += 1.0
    pq.write_table(read.set_column(1, "price", pa.array(prices, pa.float32())), copied.folder / "items.parquet")
    found = copied.verify()
    one = named(found)["price"]
    assert 0 < one.mismatch == sum(one.causes.values()) < 100
    assert (one.missing, one.extra, one.causes) == (0, 0, {UNKNOWN: one.mismatch})
    assert one.examples[0].key == "7"
    assert one.examples[0].replayed == pytest.approx(one.examples[0].served + 1.0)
    assert sum(other.different for other in found.features) == one.mismatch
    terms = 2 * 1.0 / (2 * prices[7] - 1.0)
    assert one.smape == pytest.approx(terms * one.mismatch / (one.values - _nobody(life)), rel=1e-4)


def _nobody(life):
    """Reads of items that are not there."""
    keys = life.reader.counts()["items"]
    return keys.misses


def test_what_the_table_knew_later_is_told_as_created_time(copied):
    users = copied.users.set_column(4, "known", times(np.full(len(copied.users), 100.0 * DAY)))
    pq.write_table(users, copied.folder / "users.parquet")
    one = named(copied.verify())["user_age"]
    assert one.extra > 100
    assert set(one.causes) == {LATE}


def test_what_is_looked_at_is_spread_over_all_that_differs():
    often, seldom = np.ones(10_000, bool), np.zeros(10_000, bool)
    seldom[[5000, 9999]] = True
    places = _spread([often, seldom], 100)
    assert len(places) == 100
    assert {0, 5000, 9999} <= set(places.tolist())
    assert np.diff(places).max() < 250
    np.testing.assert_array_equal(_spread([often, seldom], 10_000), np.arange(10_000))
    assert len(_spread([often] * 7, 3)) == 3


def test_events_that_never_came_are_told_with_how_many(copied):
    more = copied.did.take(np.arange(0, len(copied.did), 10))
    item = pa.array(np.full(len(more), 1000))
    pq.write_table(pa.concat_tables([copied.did, more.set_column(1, "item_id", item)]), copied.folder / "did.parquet")
    one = named(copied.verify())["clicks__item_id"]
    assert one.mismatch > 20
    assert 1.0 <= one.edit_distance < 4.0


def test_rows_that_never_came_are_told_as_missing(copied):
    lost = pa.table(
        {
            **{"user_id": np.arange(USERS, USERS + 5), "age": [1] * 5, "tags": [["x"]] * 5},
            **{"at": times([4.5 * DAY] * 5), "known": times([4.5 * DAY] * 5)},
        }
    )
    pq.write_table(pa.concat_tables([copied.users, lost]), copied.folder / "users.parquet")
    one = named(copied.verify())["user_age"]
    assert one.missing > 0
    assert (one.mismatch, one.extra) == (0, 0)
    assert MISSING in one.causes


def test_other_definitions_are_told_as_a_version(copied):
    users = copied.users.set_column(1, "age", pa.array([7] * len(copied.users)))
    pq.write_table(users, copied.folder / "users.parquet")
    one = named(copied.verify(tags=["x"], description="another"))["user_age"]
    assert VERSION not in one.causes
    one = named(copied.verify(ttl="49h"))["user_age"]
    assert VERSION in one.causes


def test_requests_of_a_service_are_replayed(life, tmp_path):
    """The columns of the log that `easyrec serve` writes."""
    rows = life.users.slice(0, 50)
    when = [moment.as_py().timestamp() + 1 for moment in rows["known"]]
    model = named(life.verify())["user_age"]
    spine = {"user_id": rows["user_id"], "known": rows["known"]}
    assert model.values == len(spine["user_id"]) * 10
    schema = {"fingerprint": "x", "model": "ctr", "redacted": "user:tags"}
    with pa.OSFile(str(tmp_path / "requests.arrows"), "wb") as sink:
        writer = None
        for place, moment in enumerate(when):
            life.now = moment
            user = int(rows["user_id"][place].as_py())
            prices = life.items["price"].slice(0, 3).combine_chunks()
            batch = pa.record_batch(
                {
                    "log:time": pa.array([int((moment + 5) * 1e6)], pa.timestamp("us", "UTC")),
                    "context:asked": pa.array([int(moment * 1e6)], pa.timestamp("us", "UTC")),
                    "user:user_id": pa.array([user]),
                    "user:clicks__item_id": pa.array([[]], pa.list_(pa.int64())),
                    "item:item_id": pa.LargeListArray.from_arrays(pa.array([0, 3], pa.int64()), pa.array([0, 1, 2])),
                    "item:price": pa.LargeListArray.from_arrays(pa.array([0, 3], pa.int64()), prices),
                }
            )
            writer = writer or pa.ipc.new_stream(sink, batch.schema.with_metadata(schema))
            writer.write_batch(batch)
        writer.close()
    found = verify(life.config, "ctr", tmp_path / "requests.arrows", time_column="asked", threads=1)
    assert named(found)["price"].values == 150
    assert named(found)["price"].different == 0
    assert named(found)["clicks__item_id"].mismatch > 10
    assert "user_age" in found.absent


def test_the_command_prints_writes_and_is_a_gate(copied, capsys, monkeypatch):
    monkeypatch.chdir(copied.folder)
    (copied.folder / "store.yaml").write_text(json.dumps(definitions(copied.folder)))
    words = ["store", "verify", "-c", "store.yaml", "--log", "reads", "--model", "ctr", "--threads", "1"]
    assert main([*words, "--report", "page.html"]) == 0
    out = capsys.readouterr().out
    assert "ctr: 2,000 rows that were served" in out
    assert "0 of 6,000 values differ (0.000%)" in out
    assert "holds" in (copied.folder / "page.html").read_text()
    users = copied.users.set_column(1, "age", pa.array([7] * len(copied.users)))
    pq.write_table(users, copied.folder / "users.parquet")
    assert main([*words, "--json", "--report", "page.html"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["share"] > 0
    page = (copied.folder / "page.html").read_text()
    assert "broken" in page
    assert "user_age" in page
    assert main([*words, "--max-mismatch", "0.5"]) == 0
    capsys.readouterr()
    assert main([*words[:-2], "--max-mismatch", "2"]) == 2
    assert main(["store", "verify", "-c", "store.yaml", "--log", "nowhere", "--model", "ctr"]) == 3
    assert "nowhere: holds no log" in capsys.readouterr().err


def test_reads_are_kept_by_sample(life, tmp_path):
    log = ReadLog(life.config, "ctr", tmp_path, sample=0.2, file_rows=20, seed=1)
    reader = ModelReader(life.config, life.store, "ctr", lambda: life.now, log)
    for user in range(1000):
        reader.read({"user_id": [user % USERS]})
    log.close()
    found = verify(life.config, "ctr", tmp_path, threads=1)
    assert 150 < found.rows < 250
    with pytest.raises(StoreError, match="must be above 0 and at most 1, but is 0"):
        ReadLog(life.config, "ctr", tmp_path, sample=0)


def test_a_log_of_another_model_holds_nothing(life, tmp_path):
    ReadLog(life.config, "ctr", tmp_path / "empty").close()
    with pytest.raises(DataError, match="holds no log"):
        verify(life.config, "ctr", tmp_path / "empty")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (pa.array([1.0, float("nan"), None, 2.0]), pa.array([1.0, float("nan"), None, None]), [1, 1, 1, 0]),
        (pa.array(["a", "b"]), pa.array(["a", "c"]), [1, 0]),
        (pa.array([[1, 2], [], None, [1], [3]]), pa.array([[1, 2], None, None, [2], [3, 4]]), [1, 0, 1, 0, 0]),
        (pa.array([[["a"], None], [["b"]]]), pa.array([[["a"], None], [["b", "c"]]]), [1, 0]),
        (
            pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
            pa.array([[("k", 2)], [], None], pa.map_(pa.string(), pa.int64())),
            [0, 1, 1],
        ),
        (pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)), pa.array([[1.0, 3.0]], pa.list_(pa.float32(), 2)), [0]),
    ],
    ids=["numbers", "texts", "lists", "nested", "maps", "vectors"],
)
def test_values_are_the_same_or_not(one, other, expected):
    assert same(one, other).astype(int).tolist() == expected


def test_how_far_values_are_apart():
    assert smape(pa.array([1.0, 0.0, None]), pa.array([3.0, 0.0, 1.0])) == pytest.approx(0.5)
    assert smape(pa.array(["a"]), pa.array(["a"])) is None
    assert edits([1, 2, 3], [2, 3, 4]) == 2
    assert edits([], [1]) == 1


@pytest.mark.parametrize("is_broken", [False, True], ids=["fine", "no-folder"])
def test_what_servers_read_is_kept_where_the_store_s_yaml_says(life, tmp_path, is_broken):
    pytest.importorskip("uvicorn", reason="needs the extra 'serving'")
    log = tmp_path / "log"
    if is_broken:
        log.write_text("a file")
    config = load_store(
        {**definitions(life.folder), "read": {"log": {"path": str(log), "sample": 1.0, "file_rows": 10}}}
    )
    source = FeatureSource(config, "ctr")
    Writer(config, source.near.store).publish("items", pq.read_table(life.folder / "items.parquet").to_batches())
    for _ in range(60):  # a log that cannot be written fails no read
        assert source.reader(["price"]).read({"item_id": range(20)})["item_id"]["price"].null_count < 20
    source.close()
    if not is_broken:
        found = verify(load_store(definitions(life.folder)), "ctr", log)
        assert (found.rows, found.share) == (1200, 0.0)
        assert [one.name for one in found.features] == ["price"]
