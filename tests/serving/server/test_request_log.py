"""The request log and its replay."""

import asyncio
import json
import os
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main
from easyrec.errors import DataError
from serving.server.config import RequestLog, load_server_config
from serving.server.forget import forget
from serving.server.replay import FEATURES as FEATURES_DIFFER
from serving.server.replay import OTHER_GENERATOR, OTHER_WEIGHTS, replay
from serving.server.request_log import RequestLogWriter, _File, read_log

KEY = "a key of the tests, long enough"


@pytest.fixture
def kept(with_app, toys, request_parts, tmp_path):
    """Answers of some requests, after which their log is closed."""

    def ask(count=3, **log):
        user, items, context = request_parts
        bodies = [
            {"user": {**user, "user_id": f"person {n}"}, "items": items[: n % 3 + 1], "context": context}
            for n in range(count)
        ]

        async def work(client):
            return [(await client.post("/predict", json=body)).json() for body in bodies]

        models = [{"name": "ctr", "bundle": str(toys("deepfm").bundle)}]
        return with_app(work, models=models, request_log={"path": str(tmp_path / "log"), "sample": 1.0, **log})

    return ask


def test_a_replay_by_the_same_bundle_finds_the_same(kept, toys, tmp_path):
    answers = kept(5)
    rows = [row for _, row in read_log(tmp_path / "log")]
    assert len(rows) == 5
    for answer, row in zip(answers, rows, strict=True):
        assert np.array_equal(row.column("score:click")[0].as_py(), np.float32(answer["scores"]["click"]))
        assert row.column("user:user_id")[0].as_py().startswith("person")
    found = replay(tmp_path / "log", toys("deepfm").bundle)
    assert (found.requests, found.same, found.items, found.unexplained) == (5, 5, 9, 0)
    assert found.largest == {"click": 0.0}
    assert not found.features
    assert not found.scores
    assert "unexplained" not in found.answered


def test_what_was_sent_is_verified_against_the_store(kept, tmp_path):
    pytest.importorskip("duckdb", reason="needs the extra 'store'")
    from easyrec.store.definitions import load_store
    from easyrec.store.verify import verify

    kept(5)  # of 1, 2, 3, 1 and 2 items
    prices = {"i1": 3.5, "i2": 4.5, "i3": None}  # i2 was sent with 3.5
    pq.write_table(pa.table({"item_id": list(prices), "price": list(prices.values())}), tmp_path / "items.parquet")
    view = {
        **{"name": "items", "entity": "item", "fields": [{"name": "price", "type": "float"}]},
        "source": {"type": "parquet", "path": str(tmp_path / "items.parquet")},
    }
    store = load_store(
        {
            **{"project": "shop", "views": [view], "models": [{"name": "ctr", "features": [{"view": "items"}]}]},
            "entities": [{"name": "item", "join_id": "item_id"}],
        }
    )
    found = verify(store, "ctr", tmp_path / "log", threads=1)
    (price,) = found.features
    assert (price.values, price.mismatch, price.missing, price.extra) == (9, 3, 0, 0)
    assert {(case.key, case.served, case.replayed) for case in price.examples} == {("i2", 3.5, 4.5)}


def test_redacted_columns_are_never_written_and_are_named_as_the_cause(kept, toys, tmp_path):
    kept(3, redact=["user_id"])
    (file,) = (tmp_path / "log" / "ctr").iterdir()
    assert b"person" not in file.read_bytes()
    assert all(row.column("user:user_id")[0].as_py() is None for _, row in read_log(file))
    found = replay(file, toys("deepfm").bundle)
    assert (found.requests, found.same) == (3, 3)
    assert all(cause.startswith("redacted: user_id") for cause in found.answered)
    assert sum(found.answered.values()) == 3


def test_other_weights_are_named_as_the_cause(kept, other_toy, tmp_path):
    kept(3)
    found = replay(tmp_path / "log", other_toy.bundle)
    assert found.same == 0
    assert found.scores == {("click", OTHER_WEIGHTS): 3}
    assert not found.features
    assert found.unexplained == 0


def test_features_of_another_generator_are_named(kept, make_toy, toys, tmp_path):
    kept(3)
    features = json.loads((toys("deepfm").bundle / "generator" / "features.json").read_text())["features"]
    changed = [{**one, "boundaries": [1, 2, 3]} if one["name"] == "price" else one for one in features]
    other = make_toy({"type": "deepfm", "hidden": [8]}, tmp_path / "other" / "bundle", features=changed)
    found = replay(tmp_path / "log", other.bundle)
    assert set(found.features) == {("price", OTHER_GENERATOR)}
    assert ("click", FEATURES_DIFFER) in found.scores
    assert found.unexplained == 0


def test_a_score_that_nothing_explains_ends_the_command_with_1(kept, toys, tmp_path, capsys):
    kept(2)
    (file,) = (tmp_path / "log" / "ctr").iterdir()
    forged = tmp_path / "forged.arrows"
    with file.open("rb") as opened:
        table = pa.ipc.open_stream(opened).read_all()
    place = table.schema.get_field_index("check:click")
    moved = pa.chunked_array([[[value + 0.01 for value in row] for row in table.column(place).to_pylist()]])
    table = table.set_column(place, table.schema.field(place), moved.cast(table.schema.field(place).type))
    with pa.ipc.new_stream(str(forged), table.schema) as writer:
        writer.write_table(table)
    assert main(["serve", "replay", "--log", str(forged), "--bundle", str(toys("deepfm").bundle), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["scores"] == [{"name": "click", "cause": "unexplained", "requests": 2}]
    assert told["largest"]["click"] == pytest.approx(0.01, rel=1e-3)
    assert main(["serve", "replay", "--log", str(file), "--bundle", str(toys("deepfm").bundle)]) == 0


def test_a_log_that_was_cut_off_is_read_up_to_its_last_whole_request(kept, tmp_path):
    kept(3)
    (file,) = (tmp_path / "log" / "ctr").iterdir()
    file.write_bytes(file.read_bytes()[:-700])
    assert len(list(read_log(file))) == 2


def test_a_log_of_several_models_wants_one_of_them(with_app, toys, request_parts, tmp_path):
    user, items, context = request_parts
    body = {"user": user, "items": items, "context": context}

    async def work(client):
        for name in ("ctr", "cvr", "ctr"):
            assert (await client.post(f"/models/{name}/predict", json=body)).status_code == 200

    models = [{"name": name, "bundle": str(toys("deepfm").bundle)} for name in ("ctr", "cvr")]
    with_app(work, models=models, request_log={"path": str(tmp_path / "log"), "sample": 1.0})
    with pytest.raises(DataError, match="holds the requests of 'ctr', 'cvr': name the folder"):
        replay(tmp_path / "log", toys("deepfm").bundle)
    assert replay(tmp_path / "log" / "ctr", toys("deepfm").bundle).same == 2


def test_a_file_that_is_no_log_is_named(tmp_path):
    (tmp_path / "x.arrows").write_bytes(b"no arrow")
    for path in (tmp_path / "x.arrows", tmp_path / "nothing"):
        with pytest.raises(DataError, match=path.name):
            list(read_log(path))


def test_only_a_share_is_kept_and_files_are_bounded(kept, tmp_path):
    kept(5, file_rows=2)
    files = list((tmp_path / "log" / "ctr").iterdir())
    assert len(files) == 3
    assert sum(len(list(read_log(file))) for file in files) == 5


def test_personal_columns_are_kept_as_hashes_that_only_the_key_can_make(kept, toys, tmp_path):
    kept(4, personal=["user_id", "click_seq"], hash_key=KEY)
    (file,) = (tmp_path / "log" / "ctr").iterdir()
    assert b"person" not in file.read_bytes()
    assert KEY.encode() not in file.read_bytes()
    rows = [row for _, row in read_log(file)]
    assert all(row.column(name)[0].as_py() is None for row in rows for name in ("user:user_id", "user:click_seq__cate"))
    hashes = [row.column("hash:user:user_id")[0].as_py() for row in rows]
    assert len({*hashes}) == 4
    assert all(len(text) == 32 for text in hashes)
    found = replay(file, toys("deepfm").bundle)
    assert (found.same, found.unexplained) == (4, 0)


def test_personal_columns_of_the_bundle_are_left_out_too(with_app, make_toy, request_parts, tmp_path):
    user, items, context = request_parts
    toy = make_toy({"type": "deepfm", "hidden": [8]}, tmp_path / "toy" / "bundle", export={"personal": ["user_id"]})

    async def work(client):
        await client.post(
            "/predict", json={"user": {**user, "user_id": "person 1"}, "items": items, "context": context}
        )

    log = {"path": str(tmp_path / "log"), "sample": 1.0}
    with_app(work, models=[{"name": "ctr", "bundle": str(toy.bundle)}], request_log=log)
    ((_, row),) = read_log(tmp_path / "log")
    assert row.column("user:user_id")[0].as_py() is None
    with pytest.raises(Exception, match="no feature reads a column 'user_ids'; did you mean 'user_id'"):
        make_toy({"type": "lr"}, tmp_path / "other" / "bundle", export={"personal": ["user_ids"]})


def test_a_personal_column_that_no_bundle_reads_is_told(kept, caplog):
    with caplog.at_level("WARNING", "serving"):
        kept(1, personal=["userid"], redact=["level"])
    told = [record.told for record in caplog.records if "leave out" in record.message]
    assert told == [{"columns": ["userid"]}]


def test_a_hash_key_is_not_told_by_errors():
    log = {"path": "log", "hash_key": KEY, "personall": ["user_id"]}
    with pytest.raises(Exception, match="did you mean 'personal'") as caught:
        load_server_config({"models": [{"name": "m", "bundle": "b"}], "request_log": log})
    assert KEY not in str(caught.value) + repr(RequestLog(path="log", hash_key=KEY))


@pytest.mark.parametrize("log", [{}, {"personal": ["user_id"], "hash_key": KEY}], ids=["plain", "hashed"])
def test_one_user_is_forgotten_and_the_others_are_not_touched(kept, tmp_path, capsys, monkeypatch, log):
    monkeypatch.setenv("LOG_KEY", KEY)
    kept(7, file_rows=3, **log)
    files = sorted((tmp_path / "log" / "ctr").iterdir())
    for file in files:
        os.utime(file, (1e9, 1e9))
    before = {row.column("log:request")[0].as_py(): row for _, row in read_log(tmp_path / "log")}
    words = ["serve", "forget", "--log", str(tmp_path / "log"), "--user-column", "user_id", "--json"]
    assert main([*words, "--value", "person 4", "--hash-key", "${LOG_KEY}"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["files"], told["rows"], told["deleted"], told["rewritten"]) == (3, 7, 1, 1)
    after = {row.column("log:request")[0].as_py(): row for _, row in read_log(tmp_path / "log")}
    assert len(after) == 6
    assert all(row.equals(before[name]) for name, row in after.items())
    assert not any(b"person 4" in file.read_bytes() for file in (tmp_path / "log" / "ctr").iterdir())
    assert all(file.stat().st_mtime == 1e9 for file in (tmp_path / "log" / "ctr").iterdir())
    assert main([*words, "--value", "person 4", "--hash-key", "${LOG_KEY}"]) == 0
    assert json.loads(capsys.readouterr().out)["deleted"] == 0


@pytest.mark.parametrize(
    ("log", "keys", "why"),
    [
        ({"personal": ["user_id"]}, [], "was left out of it"),
        ({"personal": ["user_id"], "hash_key": KEY}, [], "hashed by a key that was not given"),
        ({"personal": ["user_id"], "hash_key": KEY}, [KEY[::-1]], "hashed by a key that was not given"),
    ],
    ids=["dropped", "no-key", "wrong-key"],
)
def test_files_that_do_not_tell_whose_their_rows_are_are_named(kept, tmp_path, log, keys, why):
    kept(2, **log)
    found = forget(tmp_path / "log", "user_id", "person 1", keys)
    assert found.deleted == 0
    assert [why in reason for reason in found.untold.values()] == [True]


def test_numbers_files_made_of_the_log_and_half_written_rows_are_forgotten_too(kept, tmp_path):
    kept(3)
    (file,) = (tmp_path / "log" / "ctr").iterdir()
    with file.open("rb") as opened:
        table = pa.ipc.open_stream(opened).read_all()
    with pa.ipc.new_file(str(file.with_name("warmup.arrow")), table.schema) as writer:
        writer.write_table(table)
    ids = pa.table({"user_id": pa.array([7, 8, 7], pa.int64()), "x": [1.0, 2.0, 3.0]})
    with pa.ipc.new_file(str(tmp_path / "log" / "rows.arrow"), ids.schema) as writer:
        writer.write_table(ids)
    file.write_bytes(file.read_bytes()[:-40])  # a server was killed while it wrote of person 2
    assert b"person 2" in file.read_bytes()
    assert forget(tmp_path / "log", "user_id", "person 2").deleted == 1
    assert b"person 2" not in file.read_bytes() + file.with_name("warmup.arrow").read_bytes()
    assert forget(tmp_path / "log", "user_id", "7").deleted == 2
    with pa.ipc.open_file(str(tmp_path / "log" / "rows.arrow")) as reader:
        assert reader.read_all().to_pydict() == {"user_id": [8], "x": [2.0]}
    forget(tmp_path / "log", "user_id", "8")
    assert not (tmp_path / "log" / "rows.arrow").exists()
    assert not list((tmp_path / "log").rglob(".*"))


def test_a_server_that_writes_meanwhile_loses_no_row_of_others(with_app, toys, request_parts, tmp_path):
    user, items, context = request_parts

    async def work(client):
        reports = []
        for number in range(30):
            body = {"user": {**user, "user_id": f"person {number % 3}"}, "items": items[:1], "context": context}
            assert (await client.post("/predict", json=body)).status_code == 200
            if number % 3 == 2:
                reports.append(await asyncio.to_thread(forget, tmp_path / "log", "user_id", "person 1"))
        return reports

    models = [{"name": "ctr", "bundle": str(toys("deepfm").bundle)}]
    reports = with_app(work, models=models, request_log={"path": str(tmp_path / "log"), "sample": 1.0}, watch_s=0)
    reports.append(forget(tmp_path / "log", "user_id", "person 1"))
    assert sum(report.deleted for report in reports) == 10
    assert sum(report.deleted > 0 for report in reports) > 3
    left = [row.column("user:user_id")[0].as_py() for _, row in read_log(tmp_path / "log")]
    assert sorted(left) == ["person 0"] * 10 + ["person 2"] * 10


def test_rows_that_are_written_while_others_are_deleted_are_all_there(tmp_path):
    """The file alone, as fast as threads can."""
    schema = pa.schema([("user:user_id", pa.string())]).with_metadata({"fingerprint": "x"})
    written, asked = [], set()

    def write():
        file = _File(tmp_path / "0.arrows", schema, 0.0)
        number = 0
        while len(asked) <= 5 or number < 2500:  # however slow the one that deletes is
            batch = pa.record_batch({"user:user_id": [str(number)]})
            while not file.write(batch):
                file.close()
                file = _File(tmp_path / f"{number}.arrows", schema, 0.0)
            written.append(number)
            number += 1
        file.close()

    thread = threading.Thread(target=write)
    thread.start()
    while thread.is_alive():
        if written and written[-1] not in asked:
            asked.add(written[-1])
            forget(tmp_path, "user_id", str(max(asked)))
    thread.join()
    left = [row.column("user:user_id")[0].as_py() for _, row in read_log(tmp_path)]
    assert sorted(map(int, left)) == [number for number in written if number not in asked]


def test_files_expire_by_the_clock_though_nothing_is_asked(tmp_path):
    now = [1e9]
    log = RequestLogWriter(RequestLog(path=str(tmp_path), keep_days=10), lambda: now[0])
    schema = pa.schema([("x", pa.string())])
    file = log._open["ctr", "v"] = _File(tmp_path / "ctr.arrows", schema, now[0])
    (tmp_path / "ctr").mkdir()
    old, new = tmp_path / "ctr" / "old.arrows", tmp_path / "ctr" / "new.arrows"
    for path, age in ((old, 10.1), (new, 9.9)):
        path.write_bytes(b"")
        os.utime(path, (now[0] - age * 86_400,) * 2)
    log.expire()
    assert (old.exists(), new.exists(), log._open) == (False, True, {("ctr", "v"): file})
    now[0] += 86_401  # the first row of a file that is written to waits a day at most
    log.expire()
    assert not log._open
    assert not new.exists()
