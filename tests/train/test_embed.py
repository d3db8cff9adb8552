"""Vectors of a catalogue: all there, once, in order, also after being stopped; and what is found among them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import easyrec
from easyrec.cli import main
from easyrec.errors import ConfigError, DataError, RunError
from easyrec.export.bundle import Bundle
from easyrec.retrieval.indexes import Index, build
from easyrec.retrieval.indexes.flat import Config as Flat
from easyrec.retrieval.items import nearest, parts_of, vectors_of
from easyrec.train import embed as embedding

USERS, ITEMS = 30, 1000
CONFIG = {
    "name": "match",
    "data": {"sampler": {"type": "uniform", "negatives": 64}, "batch_size": 64, "reserved": ["user_id"]},
    "features": [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": USERS},
        {"type": "id", "name": "item_id", "expression": "item:item_id", "hash_bucket_size": 1_000_000},
        {
            "type": "id",
            "name": "seen",
            "expression": "user:seen",
            "hash_bucket_size": 1_000_000,
            "embedding_name": "item_id",
        },
        {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": 5},
    ],
    "model": {
        "type": "dssm",
        "embedding_dim": 8,
        "hidden": [16],
        "output_dim": 8,
        "groups": {"user": ["user_id"], "item": ["item_id", "cate"]},
    },
    "train": {"epochs": 1, "threads": 1},
}


def catalogue(count=ITEMS):
    names = [f"item-{number:05d}" for number in np.random.default_rng(5).permutation(count)]
    return pa.table({"item_id": names, "cate": np.arange(count) % 5})


def taken():
    random = np.random.default_rng(1)
    names = [f"item-{number:05d}" for number in random.integers(0, ITEMS, 400)]
    return pd.DataFrame({"user_id": random.integers(0, USERS, 400), "item_id": names, "seen": names})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("match") / "run"
    data = {"train": taken(), "items": catalogue()}
    return easyrec.train(CONFIG, data=data, run_dir=folder, export=False, progress=False)


@pytest.fixture
def items(tmp_path):
    path = tmp_path / "items.parquet"
    pq.write_table(catalogue(), path, row_group_size=300)
    return path


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(embedding, "PART_ROWS", 128)


def whole(folder):
    return pa.concat_tables([pq.read_table(path) for path in parts_of(folder)])


def test_every_item_has_its_vector_in_order(run, items, tmp_path, small_parts):
    folder = easyrec.embed(run.path, items, tmp_path / "out", index="flat")
    found = whole(folder)
    assert found["item_id"].to_pylist() == catalogue()["item_id"].to_pylist()
    assert len(parts_of(folder)) == 10  # of 300, 300, 300 and 100 rows
    assert json.loads((folder / "items.json").read_text())["items"] == ITEMS
    assert len(Index.load(folder / "index")) == ITEMS
    again = easyrec.embed(run.path, catalogue(), tmp_path / "frame", index="flat")
    np.testing.assert_array_equal(vectors_of(whole(again)), vectors_of(found))


@pytest.mark.parametrize("written", [0, 1, 3, 9])
def test_a_stopped_run_goes_on_without_gaps_or_doubles(run, items, tmp_path, small_parts, written, monkeypatch):
    easyrec.embed(run.path, items, tmp_path / "whole", index="flat")
    real, count = embedding._write, [0]

    def write(*args, **kwargs):
        if count[0] == written:
            raise KeyboardInterrupt
        count[0] += 1
        real(*args, **kwargs)

    monkeypatch.setattr(embedding, "_write", write)
    with pytest.raises(KeyboardInterrupt):
        easyrec.embed(run.path, items, tmp_path / "out", index="flat")
    monkeypatch.setattr(embedding, "_write", real)
    stamps = {path: path.stat().st_mtime_ns for path in parts_of(tmp_path / "out")}
    assert len(stamps) == written
    with pytest.raises(RunError, match="not all items are there"):
        easyrec.retrieve(run.path, taken(), items=tmp_path / "out")
    easyrec.embed(run.path, items, tmp_path / "out", index="flat")
    assert whole(tmp_path / "out").equals(whole(tmp_path / "whole"))
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


INDEXES = {"flat": "flat", "hnsw": "hnsw", "ivf_pq": {"type": "ivf_pq", "lists": 8, "bytes": 4}}


@pytest.fixture
def killed(run):
    """Embeds in a process of its own, and kills it after some seconds; gives the exit code, and how long it took."""
    command = [sys.executable, str(Path(__file__).with_name("killed_embed.py")), str(run.path)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as server:

        def ask(items, output, index, seconds=None, overwrite=False):
            print(json.dumps([str(items), str(output), index, overwrite, seconds]), file=server.stdin, flush=True)
            return json.loads(server.stdout.readline())

        yield ask
        server.stdin.close()


def content(folder):
    """All that `embed` wrote, bit by bit; index files by what they are, as each save numbers them anew."""
    about = json.loads((folder / "index" / "index.json").read_text())
    files = {part: file.pop("name") for part, file in about["files"].items()}
    found = {f"index/{part}": (folder / "index" / name).read_bytes() for part, name in files.items()}
    paths = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "index"]
    return found | {"index.json": about} | {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    "index", ["hnsw", *(pytest.param(name, marks=pytest.mark.slow) for name in ("flat", "ivf_pq"))]
)
def test_what_was_killed_at_any_moment_goes_on_to_the_same_bits(killed, items, tmp_path, index):
    random = np.random.default_rng(len(index))
    code, took = killed(items, tmp_path / "whole", INDEXES[index])
    assert code == 0
    whole, died = content(tmp_path / "whole"), 0
    for turn in range(3):
        out = tmp_path / f"out-{turn}"
        for _ in range(2):
            code, seconds = killed(items, out, INDEXES[index], random.uniform(0, took / 2))
            died += code != 0
            took = min(took, seconds) if code == 0 else took  # with less beside it a run takes less
            for path in out.glob("parts/[0-9]*"):
                assert path.read_bytes() == whole[str(path.relative_to(out))]
        assert killed(items, out, INDEXES[index])[0] == 0
        assert content(out) == whole
    assert died > 1


@pytest.mark.slow
def test_overwriting_that_was_killed_at_any_moment_goes_on(killed, items, tmp_path):
    random = np.random.default_rng(9)
    other = tmp_path / "other.parquet"
    pq.write_table(catalogue(500), other, row_group_size=100)
    whole = []
    for path in (items, other):
        _, took = killed(path, tmp_path / path.stem, "flat")
        whole.append(content(tmp_path / path.stem))
    out = tmp_path / "out"
    for turn in range(10):
        path = (items, other)[turn % 2]
        killed(path, out, "flat", random.uniform(0, took), overwrite=True)
        if turn % 3 == 0:
            assert killed(path, out, "flat", overwrite=True)[0] == 0
            assert content(out) == whole[turn % 2]


def test_clearing_that_was_killed_goes_on(run, items, tmp_path, monkeypatch):
    out = tmp_path / "out"
    easyrec.embed(run.path, items, out, index="flat")

    def rmtree(path, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr(embedding.shutil, "rmtree", rmtree)
    with pytest.raises(KeyboardInterrupt):
        easyrec.embed(run.path, catalogue(50), out, index="flat", overwrite=True)
    monkeypatch.undo()
    with pytest.raises(RunError, match="not all items are there"):
        easyrec.retrieve(run.path, taken(), items=out)
    easyrec.embed(run.path, catalogue(50), out, index="flat")
    assert whole(out)["item_id"].to_pylist() == catalogue(50)["item_id"].to_pylist()


def test_what_is_there_is_not_made_again(run, items, tmp_path):
    def stamps():
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*-*")}

    folder = easyrec.embed(run.path, items, tmp_path / "out", index={"type": "hnsw", "ef_search": 40})
    before = stamps()
    easyrec.embed(run.path, items, tmp_path / "out", index={"type": "hnsw", "ef_search": 41})  # only searches heed it
    assert Index.load(folder / "index").config.ef_search == 41
    assert stamps() == before
    easyrec.embed(run.path, items, tmp_path / "out", index={"type": "hnsw", "neighbors": 8})
    changed = stamps()
    assert {path for path in before if before[path] == changed.get(path)} == set(parts_of(folder))
    assert Index.load(folder / "index").config.neighbors == 8


def test_another_index_takes_the_place_of_one_that_serves_until_then(run, items, tmp_path, monkeypatch):
    folder = easyrec.embed(run.path, items, tmp_path / "out", index="flat")
    first = easyrec.retrieve(run.path, taken()[:3], k=3, items=folder)

    def save(self, path):
        raise KeyboardInterrupt

    monkeypatch.setattr(Index, "save", save)
    with pytest.raises(KeyboardInterrupt):
        easyrec.embed(run.path, items, folder, index="hnsw")
    monkeypatch.undo()
    assert easyrec.retrieve(run.path, taken()[:3], k=3, items=folder).equals(first)
    easyrec.embed(run.path, items, folder, index="hnsw")
    assert Index.load(folder / "index").config.type == "hnsw"


def test_vectors_of_something_else_are_not_mixed_in(run, items, tmp_path):
    easyrec.embed(run.path, items, tmp_path / "out", index="flat")
    with pytest.raises(RunError, match="holds vectors of other items; overwrite it, or take another"):
        easyrec.embed(run.path, catalogue(50), tmp_path / "out", index="flat")
    easyrec.embed(run.path, catalogue(50), tmp_path / "out", index="flat", overwrite=True)
    assert whole(tmp_path / "out").num_rows == 50
    changed = catalogue(50).set_column(1, "cate", pa.array([4] * 50))
    with pytest.raises(RunError, match="holds vectors of other items"):  # as many, but others
        easyrec.embed(run.path, changed, tmp_path / "out", index="flat")
    easyrec.embed(run.path, catalogue(50), tmp_path / "out", index="hnsw")  # another index alone
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("here")
    with pytest.raises(RunError, match="is not empty"):
        easyrec.embed(run.path, items, tmp_path / "other", index="flat")


def test_users_get_their_nearest_items(run, items, tmp_path):
    folder = easyrec.embed(run.path, items, tmp_path / "out", index="flat")
    users = taken()[:40]
    found = easyrec.retrieve(run.path, users, k=7, items=folder)
    assert list(found.columns) == ["user_id", "items", "scores"]
    assert found["user_id"].tolist() == users["user_id"].tolist()
    pairs = users.loc[users.index.repeat(ITEMS)].reset_index(drop=True)
    every = pd.concat([catalogue().to_pandas()] * 40, ignore_index=True)
    scored = easyrec.predict(run.path, pairs.assign(item_id=every["item_id"], cate=every["cate"]))
    logits = np.log(scored["match"] / (1 - scored["match"])).to_numpy().reshape(40, ITEMS)
    names = np.array(catalogue()["item_id"].to_pylist())
    for row in range(40):
        best = np.argsort(-logits[row], kind="stable")[:7]
        assert set(found["items"][row]) == set(names[best])
        np.testing.assert_allclose(np.sort(found["scores"][row]), np.sort(logits[row][best]), atol=1e-4)


def test_what_users_have_is_left_out(run, items, tmp_path):
    folder = easyrec.embed(run.path, items, tmp_path / "out", index="flat")
    users = taken()[:20]
    first = easyrec.retrieve(run.path, users, k=12, items=folder)
    had = [list(row[:3]) for row in first["items"]]
    left = easyrec.retrieve(run.path, users.assign(seen=had), k=9, items=folder, exclude="seen")
    for row in range(20):
        assert list(left["items"][row]) == list(first["items"][row][3:12])


def test_all_that_are_wanted_come_where_items_share_ids(tmp_path):
    """What a user has takes with it every item of the same id after hashing, and others come for them."""
    features = [{**f, "hash_bucket_size": 300} if "hash_bucket_size" in f else f for f in CONFIG["features"]]
    data = {"train": taken(), "items": catalogue()}
    run = easyrec.train({**CONFIG, "features": features}, data=data, run_dir=tmp_path / "run", export=False)
    folder = easyrec.embed(run.path, catalogue(), tmp_path / "out", index="flat")
    found = easyrec.retrieve(run.path, taken()[:20], k=900, items=folder, exclude="seen")
    assert {len(items) for items in found["items"]} == {900}


@pytest.mark.parametrize("index", INDEXES)
def test_items_are_filtered_by_what_is_kept_of_them(run, items, tmp_path, index):
    folder = easyrec.embed(run.path, items, tmp_path / "out", index=INDEXES[index], attributes=["cate"])
    cates = dict(zip(*catalogue().to_pydict().values(), strict=True))
    every = easyrec.retrieve(run.path, taken()[:10], k=ITEMS, items=folder)
    for wanted in (2, [0, 3], ["0", "3"]):
        values = {int(value) for value in (wanted if isinstance(wanted, list) else [wanted])}
        found = easyrec.retrieve(run.path, taken()[:10], k=20, items=folder, filter={"cate": wanted})
        for row, names in enumerate(found["items"]):
            assert len(names) == 20
            assert {cates[name] for name in names} <= values
            if index == "flat":
                assert list(names) == [name for name in every["items"][row] if cates[name] in values][:20]
    assert pq.read_schema(parts_of(folder)[0]).names == ["item_id", "cate", "key", "vector"]


def test_attributes_that_cannot_be_kept_or_found_are_told(run, items, tmp_path):
    with pytest.raises(ConfigError, match="the items have no column 'cat'; did you mean 'cate'"):
        easyrec.embed(run.path, items, tmp_path / "out", attributes=["cat"])
    priced = catalogue(40).append_column("price", pa.array(np.ones(40))).append_column("key", pa.array([1] * 40))
    with pytest.raises(ConfigError, match="attribute 'price' is double: it must be of integers") as told:
        easyrec.embed(run.path, priced, tmp_path / "out", attributes=["price", "key"])
    assert "an attribute cannot be called 'key'" in str(told.value)
    folder = easyrec.embed(run.path, items, tmp_path / "out", index="flat")
    with pytest.raises(ConfigError, match="no attribute is called 'cate'; the index keeps none"):
        easyrec.retrieve(run.path, taken(), items=folder, filter={"cate": 1})
    with pytest.raises(RunError, match=r"holds vectors with other attributes \(none\); overwrite it"):
        easyrec.embed(run.path, items, tmp_path / "out", index="flat", attributes=["cate"])
    folder = easyrec.embed(run.path, items, tmp_path / "out", index="flat", attributes=["cate"], overwrite=True)
    with pytest.raises(ConfigError, match=r"no attribute is called 'cat'; did you mean 'cate'.*embed --attributes"):
        easyrec.retrieve(run.path, taken(), items=folder, filter={"cat": 1})
    with pytest.raises(ConfigError, match=r"attribute 'cate' is of int64, so none is 'x'$"):
        easyrec.retrieve(run.path, taken(), items=folder, filter={"cate": "x"})


def test_a_filter_that_no_item_passes_is_told(run, items, tmp_path, caplog):
    folder = easyrec.embed(run.path, items, tmp_path / "out", index="flat", attributes=["cate"])
    assert [len(row) for row in easyrec.retrieve(run.path, taken()[:2], items=folder, k=3)["items"]] == [3, 3]
    assert not caplog.text
    found = easyrec.retrieve(run.path, taken()[:2], items=folder, k=3, filter={"cate": [77]})
    assert [len(row) for row in found["items"]] == [0, 0]
    assert "no item passes the filter {'cate': [77]}: no user gets any" in caplog.text


def test_users_to_whom_all_items_are_alike_are_told(tmp_path, caplog):
    groups = {"user": ["seen"], "item": ["item_id"]}
    model = {"type": "bpr_mf", "embedding_dim": 4, "embedding_init": {"type": "normal", "std": 0.1}, "groups": groups}
    data = {"train": taken(), "items": catalogue()}
    run = easyrec.train({**CONFIG, "model": model}, data=data, run_dir=tmp_path / "run", export=False, progress=False)
    folder = easyrec.embed(run.path, catalogue(), index="flat")
    easyrec.retrieve(run.path, taken()[:4], items=folder, k=3)
    assert "vector of zeros" not in caplog.text
    asking = taken()[:4]
    asking.loc[[1, 3], "seen"] = None
    easyrec.retrieve(run.path, asking, items=folder, k=3)
    assert "2 of 4 users have a vector of zeros" in caplog.text


def test_what_items_lack_is_told_before_a_folder_is_begun(run, items, tmp_path):
    pq.write_table(catalogue().drop_columns("cate"), tmp_path / "less.parquet")
    with pytest.raises(ConfigError, match=r"items\s+the data has no column 'cate'"):
        easyrec.embed(run.path, tmp_path / "less.parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_items_without_an_id_follow_the_policy(run, tmp_path, caplog):
    ids = catalogue()["item_id"].to_pylist()
    ids[7] = None
    pq.write_table(catalogue().set_column(0, "item_id", pa.array(ids)), tmp_path / "items.parquet")
    told = r"items.parquet, row 7, column 'item_id': must have one id, but has none"
    with pytest.raises(DataError, match=told):
        easyrec.embed(run.path, tmp_path / "items.parquet", tmp_path / "out", index="flat")
    skipping = {"data.bad_rows": "skip"}
    folder = easyrec.embed(run.path, tmp_path / "items.parquet", tmp_path / "skipped", index="flat", overrides=skipping)
    assert whole(folder)["item_id"].to_pylist() == [name for name in ids if name is not None]
    assert "items: 1 bad value, 999 of 1,000 rows were used" in caplog.text
    # The folder that was begun in vain is no obstacle once the items are mended.
    assert whole(easyrec.embed(run.path, catalogue(), tmp_path / "out", index="flat")).num_rows == ITEMS


def test_the_commands_embed_and_retrieve(run, items, tmp_path, capsys):
    users = tmp_path / "users.parquet"
    taken()[:5].to_parquet(users)
    out = ["--output", str(tmp_path / "vectors")]
    made = ["--index", "hnsw", "ef_search=90", "--attributes", "cate"]
    assert main(["embed", "-c", str(run.path), "--items", str(items), *out, *made]) == 0
    assert Index.load(tmp_path / "vectors" / "index").config.ef_search == 90
    found = tmp_path / "found.parquet"
    options = ["--users", str(users), "--items", str(tmp_path / "vectors"), "-k", "3", "--output", str(found)]
    options += ["--filter", "cate=1,2"]
    assert main(["retrieve", "-c", str(run.path), *options]) == 0
    assert pq.read_table(found)["items"].to_pylist()[0][0].startswith("item-")
    assert capsys.readouterr().out.split() == [str(tmp_path / "vectors"), str(found)]
    assert main(["retrieve", "-c", str(run.path), *options, "--filter", "cate"]) == 2
    assert "'cate' is not NAME=VALUE" in capsys.readouterr().err
    assert main(["embed", "-c", str(run.path), "--items", str(items), *out, "--index", "hnsw", "ef_serch=3"]) == 2
    assert "unknown key; did you mean 'ef_search'" in capsys.readouterr().err


def test_what_cannot_be_embedded_or_retrieved_is_told(run, tmp_path):
    with pytest.raises(ConfigError, match="items of a catalogue"):
        easyrec.embed(run.path)
    with pytest.raises(RunError, match="holds no vectors of items; make them by `easyrec embed`"):
        easyrec.retrieve(run.path, taken(), items=tmp_path)
    with pytest.raises(ConfigError, match="no feature is called 'sean'; did you mean 'seen'"):
        easyrec.retrieve(run.path, taken(), exclude="sean")
    with pytest.raises(ConfigError, match="'user_id' holds no ids of items"):
        easyrec.retrieve(run.path, taken(), exclude="user_id")
    with pytest.raises(ConfigError, match="at least one item, not 0"):
        easyrec.retrieve(run.path, taken(), k=0)
    with pytest.raises(ConfigError, match="did you mean 'hnsw'"):
        easyrec.embed(run.path, catalogue(), index="hnws")
    with pytest.raises(ConfigError, match=r"index \. ef_serch\s+unknown key; did you mean 'ef_search'"):
        easyrec.embed(run.path, catalogue(), index={"type": "hnsw", "ef_serch": 8})
    with pytest.raises(ConfigError, match="did you mean 'path'"):
        easyrec.embed(run.path, {"type": "parquet", "pth": "items.parquet"})
    with pytest.raises(ConfigError, match="did you mean 'parquet'"):
        easyrec.retrieve(run.path, {"type": "parqet", "path": "users.parquet"})


def test_a_file_of_items_is_read_like_the_catalogue(run, tmp_path):
    """Not like the rows of users, which have another separator."""
    (tmp_path / "today.csv").write_text("item_id|cate\nitem-00001|3\nitem-00002|4\n")
    (tmp_path / "users.csv").write_text("user_id;item_id\n1;item-00001\n")
    sources = {
        "data.items": {"type": "csv", "path": "yesterday.csv", "separator": "|"},
        "data.test": {"type": "csv", "path": str(tmp_path / "users.csv"), "separator": ";"},
    }
    path = str(tmp_path / "today.csv")
    folder = easyrec.embed(run.path, path, tmp_path / "vectors", overrides=sources, index="flat", progress=False)
    assert whole(folder)["item_id"].to_pylist() == ["item-00001", "item-00002"]


@pytest.mark.parametrize("seed", range(5))
def test_of_several_vectors_of_a_user_the_nearest_counts(seed):
    random = np.random.default_rng(seed)
    index = build(Flat(), 4)
    vectors = random.normal(size=(30, 4)).astype(np.float32)
    index.add(np.arange(30), vectors)
    users = random.normal(size=(6, 3, 4)).astype(np.float32)
    numbers, scores = nearest(index, users, 8)
    best = (users @ vectors.T).max(1)
    for row in range(6):
        order = np.argsort(-best[row])[:8]
        assert numbers[row].tolist() == order.tolist()
        np.testing.assert_allclose(scores[row], best[row][order], rtol=1e-5)
    numbers, _ = nearest(index, users, 30)
    assert sorted(numbers[0].tolist()) == list(range(30))


def test_an_item_that_is_there_twice_is_told(run, tmp_path):
    twice = pa.concat_tables([catalogue(20), catalogue(20).slice(3, 1)])
    with pytest.raises(DataError, match=r"'item-\d+' is there twice"):
        easyrec.embed(run.path, twice, tmp_path / "out", index="flat")


def test_vectors_of_another_model_are_not_searched(run, items, tmp_path):
    folder = easyrec.embed(run.path, items, tmp_path / "out", index="flat")
    data = {"train": taken(), "items": catalogue()}
    other = easyrec.train(CONFIG, data=data, overrides={"train.seed": 7}, run_dir=tmp_path / "run", export=False)
    with pytest.raises(
        RunError, match=r"another model or checkpoint made its vectors \([0-9a-f]{12}, not [0-9a-f]{12}\)"
    ):
        easyrec.retrieve(other.path, taken(), items=folder)
    found = easyrec.retrieve(other.path, taken()[:2], k=3, items=folder, any_model=True)
    assert [len(row) for row in found["items"]] == [3, 3]


def test_averages_are_the_model_that_embeds_and_retrieves(items, tmp_path):
    data, settings = {"train": taken(), "items": catalogue()}, {"train.ema": {"decay": 0.9}}
    run = easyrec.train(CONFIG, data=data, overrides=settings, run_dir=tmp_path / "run", progress=False)
    folder = easyrec.embed(run.path, items, tmp_path / "out", index="flat")
    found = easyrec.retrieve(run.path, taken()[:2], k=3, items=folder)
    assert [len(row) for row in found["items"]] == [3, 3]
    model = json.loads((folder / "items.json").read_text())["model"]
    towers = [Bundle.open(run.bundle / side).manifest.tower_of for side in ("user", "item")]
    assert towers == [model, model]


def test_vectors_of_another_format_are_told(run, items, tmp_path):
    folder = easyrec.embed(run.path, items, tmp_path / "out", index="flat")
    about = json.loads((folder / "items.json").read_text())
    (folder / "items.json").write_text(json.dumps({**about, "format": 1}))
    with pytest.raises(RunError, match="another version of the library wrote its vectors"):
        easyrec.retrieve(run.path, taken(), items=folder)
    with pytest.raises(RunError, match="overwrite it, or take another"):
        easyrec.embed(run.path, items, folder, index="flat")


def test_no_users_get_nothing(run, items, tmp_path):
    folder = easyrec.embed(run.path, items, tmp_path / "out", index="flat")
    found = easyrec.retrieve(run.path, taken()[:0], items=folder)
    assert list(found.columns) == ["user_id", "items", "scores"]
    assert not len(found)


def test_too_few_items_for_the_lists_are_told(run, items, tmp_path):
    with pytest.raises(ConfigError, match="'ivf' learns from at least 1024 vectors, but here are 1000"):
        easyrec.embed(run.path, items, tmp_path / "out", index="ivf")
    easyrec.embed(run.path, items, tmp_path / "out", index={"type": "ivf", "lists": 16})
