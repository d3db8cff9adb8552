"""`easyrec llm embed`: texts as vectors, reduced, paid once, told to the token."""

import json
import math
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main
from easyrec.errors import BudgetError, ConfigError, DataError, ModelError, RunError
from easyrec.llm.config import load_llm
from easyrec.llm.tools._embed.history import Histories
from easyrec.llm.tools._embed.output import packed, unpacked
from easyrec.llm.tools._embed.reduction import Moments, Reduction
from easyrec.llm.tools._embed.spending import Spending
from easyrec.llm.tools.embed import History, embed

ROOT = Path(__file__).parents[2]
WIDE = 12


def vector(text, width=WIDE):
    return np.random.default_rng(zlib.crc32(text.encode())).normal(size=width)


def answers(path, body):
    """Vectors, and a count of tokens that nobody would guess."""
    texts = body["input"]
    data = [{"index": i, "embedding": vector(text).tolist()} for i, text in enumerate(texts)]
    return {"data": data, "usage": {"prompt_tokens": sum(7 + 3 * len(text) for text in texts)}}


def tokens(texts):
    return sum(7 + 3 * len(text) for text in texts)


@pytest.fixture
def shop(tmp_path, server, monkeypatch):
    """Makes configs over three items and what two users took."""
    monkeypatch.chdir(tmp_path)
    server.answer = answers
    items = {
        "item_id": [1, 2, 3, 4],
        "title": ["red shoe", "blue shoe", "kettle", None],
        "tags": [["a", "b"], [], None, []],
    }
    pq.write_table(pa.table({**items, "cate": [10, 10, 20, 20]}), "items.parquet")
    events = {
        "user_id": ["u", "u", "v", "u", "w"],
        "item_id": [1, 3, 2, 2, 9],
        "at": [1, 3, 2, 2, 5],
        "click": [1, 1, 1, 0, 1],
    }
    pq.write_table(pa.table(events), "events.parquet")

    def make(*tables, **more):
        whole = {"base_url": server.url, "model": "m", "key_env": "MODEL_KEY", "first_wait_s": 0.01, "tries": 2, **more}
        default = {
            "name": "items",
            "path": "items.parquet",
            "id": "item_id",
            "text": "{title}",
            "output": "out/items.parquet",
        }
        listed = [{**default, **one} if one.get("name", "items") == "items" else one for one in tables or ({},)]
        return {"embedder": {"type": "server", **whole}, "embed": {"cache": "vectors.db", "tables": listed}}

    return make


def run(config, **options):
    return embed(*load_llm(config, "embed"), **options)


def written(path):
    table = pq.read_table(path)
    return {row["item_id" if "item_id" in row else "user_id"]: np.array(row["vector"]) for row in table.to_pylist()}


def unit(values):
    return values / np.linalg.norm(values)


def sent(server):
    return [text for body in server.bodies() for text in body["input"]]


# ---------------------------------------------------------------------------------------------- what is made


def test_texts_are_embedded_once_and_rows_without_one_have_no_vector(shop, server):
    (made,) = run(shop({"text": "{title} {tags}", "keep": ["cate"]}))
    found = pq.read_table("out/items.parquet")
    assert found.column_names == ["item_id", "cate", "vector"]
    assert found.schema.field("vector").type == pa.list_(pa.float32(), WIDE)
    assert sorted(sent(server)) == ["blue shoe", "kettle", "red shoe a, b"]
    np.testing.assert_allclose(written("out/items.parquet")[1], unit(vector("red shoe a, b")), rtol=1e-5)
    assert (made.rows, made.empty, made.given, made.known, made.dim) == (4, 1, 3, 0, WIDE)


def test_a_row_whose_columns_say_nothing_has_no_text_whatever_stands_between_them(shop, server):
    rows = {
        "item_id": [1, 2, 3, 4],
        "title": [None, "", b"caf\xc3\xa9", None],
        "price": [None, math.nan, math.nan, 2.5],
        "tags": [[], [None], ["a", None, "b"], None],
    }
    pq.write_table(pa.table(rows), "items.parquet")
    (made,) = run(shop({"text": "{title}; {price}. {tags}"}))
    assert sorted(sent(server)) == ["; 2.5.", "café; . a, b"]
    assert pq.read_table("out/items.parquet")["item_id"].to_pylist() == [3, 4]
    assert (made.rows, made.empty, made.given) == (4, 2, 2)


def test_only_new_texts_are_embedded_and_the_report_is_exact(shop, server):
    config = shop({}, price={"input": 2.0})
    run(config)
    report = json.loads(Path("out/items.parquet.report.json").read_text())
    assert report["spent"]["input"] == tokens(["red shoe", "blue shoe", "kettle"])
    assert report["cost"] == pytest.approx(2.0 * tokens(sent(server)) / 1e6)
    table = pq.read_table("items.parquet").to_pylist()
    table[0]["title"], table[3]["title"] = "green shoe", "kettle"
    pq.write_table(pa.Table.from_pylist(table), "items.parquet")
    (made,) = run(config)
    assert sent(server)[3:] == ["green shoe"]
    assert (made.given, made.known, made.spent.input) == (1, 3, tokens(["green shoe"]))
    assert len(written("out/items.parquet")) == 4


def test_principal_components_are_those_of_the_whole_table_and_hold_for_later_rows(shop):
    config = shop({"reduce": {"pca": 2, "whiten": True, "normalise": False}})
    (made,) = run(config)
    raw = np.stack([unit(vector(text)) for text in ("red shoe", "blue shoe", "kettle")])
    centred = raw - raw.mean(axis=0)
    u, s, axes = np.linalg.svd(centred, full_matrices=False)
    found = written("out/items.parquet")
    projected = np.stack([found[i] for i in (1, 2, 3)])
    np.testing.assert_allclose(np.abs(projected), np.abs(u[:, :2] * np.sqrt(3)), rtol=1e-4, atol=1e-4)
    assert made.explained == pytest.approx((s[:2] ** 2).sum() / (s**2).sum())
    table = pq.read_table("items.parquet").to_pylist()
    table[3]["title"] = "lamp"
    pq.write_table(pa.Table.from_pylist(table), "items.parquet")
    (again,) = run(config)
    later = written("out/items.parquet")
    np.testing.assert_array_equal(later[1], found[1])
    expected = (unit(vector("lamp")) - raw.mean(axis=0)) @ axes[:2].T / (s[:2] / np.sqrt(3))
    np.testing.assert_allclose(np.abs(later[4]), np.abs(expected), rtol=1e-3)
    assert again.model == made.model
    (anew,) = run(config, anew=True)
    assert anew.model != made.model


def test_another_model_or_other_settings_are_not_mixed_with_vectors_of_before(shop):
    run(shop({"reduce": {"pca": 2}}))
    with pytest.raises(ConfigError, match="--anew"):
        run(shop({"reduce": {"pca": 3}}))
    with pytest.raises(ConfigError, match="another embedder"):
        run(shop({"reduce": {"pca": 2}}, query_prefix="q: "))
    assert run(shop({"reduce": {"pca": 3}}), anew=True)[0].dim == 3


def test_truncated_vectors_have_length_one_again(shop):
    run(shop({"reduce": {"truncate": 5}}))
    np.testing.assert_allclose(written("out/items.parquet")[3], unit(vector("kettle")[:5]), rtol=1e-5)
    with pytest.raises(DataError, match="have 12 numbers"):
        run(shop({"reduce": {"truncate": 13}, "output": "other.parquet"}))


def test_moments_in_pieces_are_those_of_the_whole():
    some = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32) + 100
    moments = Moments(6)
    for piece in np.split(some, [1, 1, 20]):
        moments.add(piece)
    components, variances, share = moments.components(6)
    np.testing.assert_allclose(variances, np.sort(np.linalg.eigvalsh(np.cov(some.T, bias=True)))[::-1], rtol=1e-4)
    np.testing.assert_allclose(components.T @ components, np.eye(6), atol=1e-9)
    assert share == pytest.approx(1.0)


def test_a_saved_reduction_is_the_same_and_a_damaged_one_is_refused(tmp_path):
    moments = Moments(4)
    moments.add(np.random.default_rng(0).normal(size=(9, 4)))
    made = Reduction.fitted("m", {"pca": 2, "whiten": False, "truncate": None, "normalise": True}, moments)
    made.save(tmp_path / "r.npz")
    read = Reduction.load(tmp_path / "r.npz")
    some = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(read(some), made(some))
    assert read.digest == made.digest
    (tmp_path / "r.npz").write_bytes((tmp_path / "r.npz").read_bytes()[:-40])
    with pytest.raises(RunError, match="no reduction"):
        Reduction.load(tmp_path / "r.npz")


@pytest.mark.parametrize(("numbers", "off"), [("float32", 0.0), ("float16", 1e-3), ("int8", 5e-3)])
def test_numbers_come_back(numbers, off):
    some = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    some[3] = 0
    np.testing.assert_allclose(unpacked(pa.table(packed(some, numbers))), some, atol=off * 3)


# ------------------------------------------------------------------------------------------------------ users


USERS = {"path": "events.parquet", "items": "items", "time": "at", "label": "click", "last": 2}


def test_users_are_told_by_what_they_took_last(shop, server):
    history = {**USERS, "label": None, "joined": " + "}
    one = {"name": "users", "id": "user_id", "history": history, "text": "took: {history}", "output": "users.parquet"}
    run(shop({"reduce": {"pca": 2}}, {**one, "reduced_as": "items"}))
    assert sorted(sent(server)[3:]) == ["took: blue shoe", "took: blue shoe + kettle"]
    assert {len(found) for found in written("users.parquet").values()} == {2}


def test_a_user_may_be_the_mean_of_what_he_took(shop):
    one = {"name": "users", "id": "user_id", "history": USERS, "output": "users.parquet"}
    items, users = run(shop({}, one))
    found, known = written("users.parquet"), written("out/items.parquet")
    assert set(found) == {"u", "v"}
    np.testing.assert_allclose(found["u"], unit(known[1] + known[3]), rtol=1e-5)
    assert (users.model, users.spent, users.given) == (items.model, None, 0)


def test_events_in_many_pieces_leave_the_same_last_items(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    users, items, times = random.integers(0, 40, 3000), random.integers(0, 9, 3000), random.integers(0, 200, 3000)
    pq.write_table(pa.table({"user_id": users, "item_id": items, "at": times}), tmp_path / "e.parquet")
    config = History(path=str(tmp_path / "e.parquet"), items="i", time="at", last=5, before=150)
    monkeypatch.setattr("easyrec.llm.items.ROWS", 64)
    monkeypatch.setattr("easyrec.llm.tools._embed.history.PIECE", 200)
    found = Histories(config, pa.array(np.arange(8)), "x")
    ids = pa.array([3, 99, 0])
    offsets, numbers = found.of(ids)
    for place, user in enumerate(ids.to_pylist()):
        rows = np.flatnonzero((users == user) & (items < 8) & (times < 150))
        expected = items[rows[np.argsort(times[rows], kind="stable")]][-5:]
        np.testing.assert_array_equal(numbers[offsets[place] : offsets[place + 1]], expected)


# ----------------------------------------------------------------------------------------- statistics of the nearest


def test_the_nearest_tell_of_their_training_period_and_never_of_the_row_itself(shop, server):
    places = {"red shoe": [1.0, 0.0], "blue shoe": [0.9, 0.1], "kettle": [0.0, 1.0], "pot": [0.1, 0.9]}
    server.answer = lambda path, body: {
        "data": [{"index": i, "embedding": places[text]} for i, text in enumerate(body["input"])],
        "usage": {"prompt_tokens": 1},
    }
    pq.write_table(pa.table({"item_id": [1, 2, 3, 4], "title": list(places)}), "items.parquet")
    rows = [(1, 1, 1), (1, 2, 1), (2, 1, 0), (2, 2, 0), (3, 1, 1), (3, 2, 0), (1, 9, 0), (4, 9, 1), (8, 1, 0)]
    item, at, click = zip(*rows, strict=True)
    pq.write_table(pa.table({"item_id": item, "at": at, "click": click}), "seen.parquet")
    near = {
        "name": "ctr",
        "path": "seen.parquet",
        "value": "click",
        "time": "at",
        "before": 9,
        "k": 1,
        "least": 2,
        "prior": 1,
    }
    run(shop({"near": [near]}))
    found = {row["item_id"]: row for row in pq.read_table("out/items.parquet").to_pylist()}
    overall = 3 / 7  # before 9, and of item 8 too
    rate = {1: (2 + overall) / 3, 2: overall / 3, 3: (1 + overall) / 3}
    nearest = {1: 2, 2: 1, 3: 2, 4: 3}  # 4 has no events of the period, and is nobody's neighbour
    for item, other in nearest.items():
        assert found[item]["ctr"] == pytest.approx(rate[other])
    assert found[4]["ctr_similarity"] == pytest.approx(float(unit(np.array([0.1, 0.9])) @ [0, 1]))


def test_a_label_of_a_row_does_not_change_its_own_column(shop):
    near = {"name": "ctr", "path": "seen.parquet", "value": "click", "k": 3, "least": 1, "prior": 0}
    told = []
    for click in (0, 1):
        pq.write_table(pa.table({"item_id": [1, 2, 3], "click": [click, 1, 0]}), "seen.parquet")
        run(shop({"near": [near]}))
        told.append({row["item_id"]: row["ctr"] for row in pq.read_table("out/items.parquet").to_pylist()})
    assert told[0][1] == told[1][1] == 0.5
    assert told[0][2] != told[1][2]


# ----------------------------------------------------------------------------------------------- feature store


STORE = """
project: shop
online: {type: sqlite, path: online.db}
registry: registry.db
entities: [{name: item, join_id: iid}]
views:
  - name: texts
    type: embedding
    entity: item
    fields: [{name: vector, type: "vector<2>"}, {name: cate, type: int64}]
models: [{name: ctr, features: [{view: texts}]}]
"""


def test_vectors_are_published_with_their_model_as_version(shop):
    from easyrec.store.definitions import load_store
    from easyrec.store.reader import ModelReader

    Path("store.yaml").write_text(STORE)
    into = {"store": {"config": "store.yaml", "view": "texts"}, "reduce": {"pca": 2}, "keep": ["cate"]}
    (made,) = run(shop({**into, "numbers": "int8"}))
    assert made.published == 3
    config = load_store("store.yaml")
    store = config.online.open(config.project)
    reader = ModelReader(config, store, "ctr")
    read = reader.read({"iid": [3]})["iid"]
    assert read["cate"].to_pylist() == [20]
    (row,) = pq.read_table("out/items.parquet").slice(2, 1).to_pylist()
    np.testing.assert_allclose(read["vector"].to_pylist()[0], np.array(row["vector"]) * row["scale"], rtol=1e-6)
    assert reader.versions() == {"texts": made.model}
    store.close()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"keep": []}, "field 'cate', which table 'items' lacks"),
        ({"reduce": {"pca": 3}}, "vector<2>"),
        ({"store": {"config": "store.yaml", "view": "text"}}, "did you mean 'texts'"),
    ],
)
def test_a_view_that_does_not_fit_is_told_before_anything_is_paid(shop, server, changed, told):
    Path("store.yaml").write_text(STORE)
    into = {"store": {"config": "store.yaml", "view": "texts"}, "reduce": {"pca": 2}, "keep": ["cate"]}
    with pytest.raises((ConfigError, DataError), match=told):
        run(shop({**into, **changed}))
    assert not sent(server)


# ------------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"text": "{title"}, "has a '{' without its '}'"),
        ({"text": "{titel}"}, "did you mean 'title'"),
        ({"reduce": {"pca": 2, "truncate": 2}}, "either truncated or reduced"),
        ({"reduce": {"whiten": True}}, "needs 'pca'"),
        ({"text": "{history}"}, "needs the section 'history'"),
        ({"reduced_as": "item"}, "no table before this one"),
        ({"keep": ["vector"]}, "two columns of the output are called 'vector'"),
        ({"outptu": "x"}, "did you mean 'output'"),
        ({"output": "x.csv"}, "output"),
        ({"reduce": {"pca": 9}}, "as many texts at least"),
        ({"near": [{"name": "c", "path": "events.parquet", "value": "click", "before": 3}]}, "needs 'time'"),
    ],
)
def test_wrong_tables_are_told(shop, table, told):
    with pytest.raises((ConfigError, DataError), match=told):
        run(shop(table))


def test_ids_that_are_missing_or_there_twice_are_told_before_anything_is_paid(shop, server):
    for ids, told in (
        ([1, 2, 2, 3], "there twice, such as 2"),
        ([1, None, 2, 3], "no id"),
        ([[1], [2], [3], [4]], "list.* is no id: numbers and texts are"),
    ):
        pq.write_table(pa.table({"item_id": ids, "title": list("abcd")}), "items.parquet")
        with pytest.raises(DataError, match=told):
            run(shop())
    assert not sent(server)


def test_dates_and_numbers_are_not_compared(shop):
    pq.write_table(pa.table({"item_id": [1], "at": pa.array([5], pa.timestamp("s")), "click": [1]}), "seen.parquet")
    near = {"name": "ctr", "path": "seen.parquet", "value": "click", "time": "at", "least": 1}
    with pytest.raises(DataError, match="write a date"):
        run(shop({"near": [{**near, "before": 3}]}))
    run(shop({"near": [{**near, "before": "1970-01-02"}]}))
    with pytest.raises(DataError, match="no events of the period"):
        run(shop({"near": [{**near, "before": "1970-01-01T00:00:05"}]}))


def test_a_budget_that_ends_keeps_what_was_paid_and_the_next_run_goes_on(shop, server):
    config = shop({}, batch=1, concurrency=1, budget={"tokens": 34})
    with pytest.raises(BudgetError):
        run(config)
    assert not Path("out/items.parquet").exists()
    had = sent(server)
    assert len(had) == 1
    (made,) = run(shop({}, batch=1))
    assert sorted(sent(server)) == sorted(["red shoe", "blue shoe", "kettle"])
    assert made.before.input == tokens(had)
    assert made.before.input + made.spent.input == tokens(sent(server))
    assert not Path("out/items.parquet.spending.jsonl").exists()


def test_servers_that_are_busy_or_send_nonsense(shop, server):
    reply = server.Reply
    server.script.extend([reply({}, status=429), reply({}, status=500), reply(answers("", {"input": ["red shoe"]}))])
    (made,) = run(shop({}, batch=1, concurrency=1, tries=3))
    assert (made.spent.tries, made.spent.calls) == (2, 3)
    for index, bad in enumerate(
        (reply(raw=b"{"), reply({"data": []}), reply({"data": [{"index": 0, "embedding": [float("nan")]}]}))
    ):
        server.script.append(bad)
        with pytest.raises(ModelError):
            run(shop({"output": f"{index}.parquet", "text": f"{index} {{title}}"}, tries=1, batch=1, concurrency=1))
        assert not Path(f"{index}.parquet").exists()


def test_what_was_paid_is_read_back_though_the_last_line_broke_off(tmp_path):
    from easyrec.llm.client import Usage

    first = Spending(tmp_path / "s.jsonl")
    first.note(Usage(calls=1, input=5))
    first.note(Usage(calls=2, input=9))
    os.write(first._file, b'{"run": "x", "inp')
    first.close(reported=False)
    second = Spending(tmp_path / "s.jsonl")
    assert second.before == Usage(calls=2, input=9)
    second.note(Usage(calls=1, input=1))
    second.close(reported=True)
    assert not (tmp_path / "s.jsonl").exists()


def test_the_command_tells_what_it_took(shop, capsys):
    import yaml

    Path("llm.yaml").write_text(yaml.safe_dump(shop({}, price={"input": 1.0})))
    assert main(["llm", "embed", "-c", "llm.yaml"]) == 0
    told = capsys.readouterr().out
    assert f"{tokens(['red shoe', 'blue shoe', 'kettle'])} tokens" in told
    assert main(["llm", "-c", "llm.yaml", "--tables", "item"]) == 2
    assert "did you mean 'items'" in capsys.readouterr().err
    assert main(["llm", "-c", "llm.yaml", "-o", "embed=null"]) == 2
    Path("llm.yaml").write_text(yaml.safe_dump(shop({"id": "item"}), sort_keys=False))
    line = Path("llm.yaml").read_text().splitlines().index("  - name: items") + 1
    capsys.readouterr()
    assert main(["llm", "embed", "-c", "llm.yaml"]) == 2
    told = capsys.readouterr().err
    assert f"  line {line}  embed . tables[0] 'items'\n" in told
    assert "items.parquet has no column 'item'; did you mean 'item_id'" in told


def test_a_config_needs_neither_torch_nor_a_client(explained):
    code, told, loaded = explained(["llm", "embed"])["llm embed"]
    assert (code, loaded) == (0, [])
    assert "--anew" in told


# ------------------------------------------------------------------------------------------------------- killed


COUNTING = """
import json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import base64, struct, threading, zlib
log, lock, came = open(sys.argv[1], "a", buffering=1), threading.Lock(), 0
def most():
    try: return int(open(sys.argv[1] + ".most").read() or 0)
    except OSError: return float("inf")
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = body["input"]
        counted = sum(1 + len(text) for text in texts)
        global came
        with lock:
            log.write(json.dumps([counted, texts]) + "\\n")
            came += 1
            mine = came
        while mine > most(): time.sleep(0.01)
        data = []
        for index, text in enumerate(texts):
            seed = zlib.crc32(text.encode())
            row = struct.pack("<8f", *((seed >> shift & 15) - 7.5 for shift in range(0, 32, 4)))
            data.append({"index": index, "embedding": base64.b64encode(row).decode()})
        content = json.dumps({"data": data, "usage": {"prompt_tokens": counted}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
class Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128
server = Server(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def counting(tmp_path):
    """A server of its own process that writes down what it was sent before it answers: its port, and the file.

    Where a file `.most` beside that holds a number, it answers no more requests than these.
    """
    log = tmp_path / "sent.jsonl"
    command = [sys.executable, "-c", COUNTING, str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield int(process.stdout.readline()), log
        finally:
            process.kill()


def killed_and_gone_on(folder, counting, rows, kills, reduce):
    """Embed, killed some times; what the server was sent, and the report of the run that came to the end."""
    port, log = counting
    batch, concurrency = 64, 4
    pq.write_table(pa.table({"id": np.arange(rows), "t": [f"text {i}" for i in range(rows)]}), folder / "t.parquet")
    table = {"name": "t", "path": "t.parquet", "id": "id", "text": "{t}", "output": "o.parquet", "reduce": reduce}
    server = {
        "type": "server",
        "base_url": f"http://127.0.0.1:{port}/v1",
        "model": "m",
        "batch": batch,
        "concurrency": concurrency,
    }
    config = {"embedder": server, "embed": {"cache": "v.db", "tables": [table]}}
    (folder / "llm.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "easyrec", "llm", "embed", "-c", "llm.yaml"]
    environment, most = {**os.environ, "PYTHONPATH": str(ROOT)}, Path(f"{log}.most")
    for number in range(kills):
        goal = rows // batch * (number + 1) // (kills + 1)
        most.write_text(str(goal))
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None and (not log.exists() or log.read_bytes().count(b"\n") <= goal):
            time.sleep(0.01)
        assert process.poll() is None, "it was to be killed before its end"
        process.send_signal(signal.SIGKILL)
        process.wait()
        most.unlink()
        assert not (folder / "o.parquet").exists()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    requests = [json.loads(line) for line in log.read_text().splitlines()]
    report = json.loads((folder / "o.parquet.report.json").read_text())
    texts = [text for _, some in requests for text in some]
    assert set(texts) == {f"text {i}" for i in range(rows)}
    assert len(texts) - rows <= kills * concurrency * batch, (
        "only what was asked for when it was killed is asked for again"
    )
    paid, told = sum(counted for counted, _ in requests), report["spent"]["input"] + report["before"]["input"]
    longest = batch * (1 + len(f"text {rows}"))
    assert 0 <= paid - told <= kills * concurrency * longest, "what is not told is what was never answered to anybody"
    assert pq.read_metadata(folder / "o.parquet").num_rows == rows
    assert not list(folder.glob("*.spending.jsonl"))
    return texts, paid, told


def test_a_killed_run_goes_on_where_it_was(tmp_path, counting):
    killed_and_gone_on(tmp_path, counting, 2560, 1, {"pca": 3})


@pytest.mark.slow
def test_a_hundred_thousand_texts_go_on_after_kills_without_being_paid_twice(tmp_path, counting):
    texts, paid, told = killed_and_gone_on(tmp_path, counting, 100_000, 3, {"pca": 4})
    print(f"sent {len(texts)} texts; the server counted {paid} tokens, the report tells {told}")


def test_without_kills_the_report_is_what_the_server_counted(tmp_path, counting):
    texts, paid, told = killed_and_gone_on(tmp_path, counting, 300, 0, {"truncate": 4})
    assert (len(texts), told) == (300, paid)
