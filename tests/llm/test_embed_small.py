"""`easyrec llm embed` with a small encoder that a package ships, whose vectors mean something, and beside a real server."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.errors import BudgetError
from easyrec.llm.config import load_llm
from easyrec.llm.tools.embed import embed

pytestmark = pytest.mark.slow


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


def test_a_real_server_is_paid_once_and_to_the_token(small_vectors, tmp_path, monkeypatch):
    """Its vectors are those of a model of language, and mean little; what is seen is that they arrive, and what they cost."""
    monkeypatch.chdir(tmp_path)
    titles = ["running shoes", "trail sneakers", None, "electric kettle", "轻便的跑鞋", "🙂 boots", "running shoes"]
    pq.write_table(pa.table({"item_id": range(7), "title": titles}), "items.parquet")
    table = {"name": "items", "path": "items.parquet", "id": "item_id", "text": "{title}", "output": "i.parquet"}
    embedder = {"type": "server", "base_url": small_vectors.url, "model": "small", "batch": 2, "price": {"input": 3.0}}
    config = {"embedder": embedder, "embed": {"tables": [{**table, "reduce": {"pca": 3}}]}}
    before = small_vectors.counts()["read"]
    (made,) = embed(*load_llm(config, "embed"))
    read = small_vectors.counts()["read"] - before
    assert (made.rows, made.empty, made.given, made.width, made.dim) == (7, 1, 5, 576, 3)
    assert made.spent.input == read > 5
    assert (made.spent.calls, made.spent.estimated) == (3, 0)
    assert json.loads((tmp_path / "i.parquet.report.json").read_text())["cost"] == pytest.approx(3.0 * read / 1e6)
    vectors = np.stack(pq.read_table("i.parquet")["vector"].to_pylist())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    apart = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    assert apart[0, -1] < 1e-5, "equal texts, equal vectors"
    assert apart[:5, :5][~np.eye(5, dtype=bool)].min() > 1e-2
    (again,) = embed(*load_llm(config, "embed"))
    assert (again.given, again.spent.tokens) == (0, 0)
    assert small_vectors.counts()["read"] == before + read
    np.testing.assert_array_equal(np.stack(pq.read_table("i.parquet")["vector"].to_pylist()), vectors)
    with pytest.raises(BudgetError, match="the budget is 4"):
        embed(
            *load_llm({**config, "embedder": {**embedder, "model": "other", "budget": {"tokens": 4}}}, "embed"),
            anew=True,
        )
    assert small_vectors.counts()["read"] <= before + read + 4
