"""A user tower's bundle and a catalogue's vectors find together what the trained model ranks first."""

import numpy as np
import pandas as pd
import pytest

import easyrec
from easyrec.errors import RunError
from serving import Predictor, Retriever

ITEMS = pd.DataFrame({"item_id": [f"i{n}" for n in range(200)], "cate": np.arange(200) % 5})
CONFIG = {
    "name": "match",
    "data": {"sampler": {"type": "in_batch"}, "batch_size": 64, "reserved": ["user_id"]},
    "features": [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 30},
        {"type": "id", "name": "item_id", "expression": "item:item_id", "hash_bucket_size": 10_000},
        {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": 5},
    ],
    "model": {"type": "dssm", "embedding_dim": 8, "hidden": [16], "output_dim": 8},
    "train": {"epochs": 1, "threads": 1},
}
CONFIG["model"]["groups"] = {"user": ["user_id"], "item": ["item_id", "cate"]}


def taken(seed=1):
    random = np.random.default_rng(seed)
    return pd.DataFrame({"user_id": random.integers(0, 30, 300), "item_id": random.choice(ITEMS["item_id"], 300)})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("match") / "run"
    made = easyrec.train(CONFIG, data={"train": taken(), "items": ITEMS}, run_dir=folder, progress=False)
    easyrec.embed(folder, ITEMS, index="flat", attributes=["cate"])
    return made


def test_it_finds_what_the_run_finds(run):
    users = pd.DataFrame({"user_id": range(30)})
    expected = easyrec.retrieve(run.path, users, k=9)
    with Retriever.load(run.bundle / "user", run.path / "items") as retriever:
        found = retriever.retrieve(users, 9)
    assert [row.items for row in found] == expected["items"].map(list).tolist()
    np.testing.assert_allclose([row.scores for row in found], np.stack(expected["scores"]), rtol=1e-5)


def test_what_may_be_found_is_chosen(run):
    with Retriever.load(run.bundle / "user", run.path / "items") as retriever:
        (every,) = retriever.retrieve([{"user_id": 7}], 500)
        assert sorted(every.items) == sorted(ITEMS["item_id"])
        (left,) = retriever.retrieve([{"user_id": 7}], 5, without=[*every.items[:3], "unknown"])
        assert left.items == every.items[3:8]
        (only,) = retriever.retrieve([{"user_id": 7}], 5, only=every.items[10:13])
        assert only.items == every.items[10:13]
        (some,) = retriever.retrieve([{"user_id": 7}], 5, filter={"cate": [1, 4]})
        assert some.items == [i for i in every.items if int(i[1:]) % 5 in (1, 4)][:5]
        with pytest.raises(ValueError, match="no attribute is called 'brand'"):
            retriever.retrieve([{"user_id": 7}], 5, filter={"brand": 1})


def test_vectors_of_another_model_are_refused(run, tmp_path):
    data = {"train": taken(2), "items": ITEMS}
    other = easyrec.train(CONFIG, data=data, run_dir=tmp_path / "run", progress=False)
    with pytest.raises(RunError, match="another model or checkpoint made its vectors"):
        Retriever.load(other.bundle / "user", run.path / "items")
    with Retriever.load(other.bundle / "user", run.path / "items", any_model=True) as retriever:
        assert len(retriever.retrieve([{"user_id": 7}], 5)[0].items) == 5


def test_towers_are_exported_again_with_their_own_rows(run, tmp_path, caplog):
    again = easyrec.export(run.path, output=tmp_path / "out")  # the rows were frames, which are gone
    assert "warming up with the rows of the run's own bundle" in caplog.text
    for side in ("user", "item"):
        with Predictor.load(again.bundle / side) as mine, Predictor.load(run.bundle / side) as first:
            assert mine.manifest.tower_of == first.manifest.tower_of
            rows = [{"user_id": 3}] if side == "user" else [{"item_id": "i3", "cate": 3}]
            np.testing.assert_array_equal(mine.predict_batch(rows)["vector"], first.predict_batch(rows)["vector"])


def test_a_whole_model_is_no_tower(tmp_path):
    rows = taken().assign(cate=0, click=1)
    rows.loc[::2, "click"] = 0
    config = {**CONFIG, "data": {"labels": ["click"], "batch_size": 64}}
    run = easyrec.train(config, data={"train": rows}, run_dir=tmp_path / "run", progress=False)
    with pytest.raises(RunError, match="does not tell of which model it is a tower"):
        Retriever.load(run.bundle, tmp_path / "items")
    assert Predictor.load(run.bundle).manifest.tower_of is None
