"""`train.storage`: what is refused, and what `easyrec check` tells."""

import pytest

from easyrec.check import build, inspect
from easyrec.errors import ConfigError

LARGE = [
    {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 200_000},
    {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 30},
]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train__sparse_optimizer": {"type": "adam"}}, r"train . sparse_optimizer . type\n *'adam' moves every row"),
        ({"train__embedding_regularizer": 0.1}, r"embedding_regularizer\n *moves every row at every step"),
        ({"train__storage": {"memory_mb": 0}}, "greater than 0"),
        ({"train__storage": {"memory": 3}}, "did you mean 'memory_mb'"),
    ],
    ids=["adam", "regularizer", "nothing", "unknown"],
)
def test_what_cannot_be_is_refused(toy, settings, message):
    with pytest.raises(ConfigError, match=message):
        toy.experiment(**{"features": LARGE, "train__storage": {"memory_mb": 2}, **settings})


def test_a_graph_over_whole_tables_is_refused(toy):
    features = [
        {"type": "id", "name": n, "expression": f"{s}:{n}", "num_buckets": 40}
        for n, s in (("user_id", "user"), ("item_id", "item"))
    ]
    model = {"type": "lightgcn", "groups": {"user": ["user_id"], "item": ["item_id"]}}
    settings = {"features": features, "model": model, "data__labels": [], "data__sampler": {"type": "uniform"}}
    with pytest.raises(
        ConfigError, match="'lightgcn' spreads whole tables over a graph, so that all rows must be in memory"
    ):
        toy.experiment(**settings, data__item_id="item_id", train__storage={"memory_mb": 2})


def test_too_little_memory_is_told_with_what_is_needed(toy):
    features = [{**LARGE[0], "num_buckets": 2_000_000}, LARGE[1]]
    with pytest.raises(ConfigError, match=r"memory_mb\n.*take 8 MB before any row of the others is there"):
        toy.trainer(features=features, train__storage={"memory_mb": 1})


def test_the_plan_tells_what_is_where(toy, data, tmp_path):
    data["train"].to_parquet(tmp_path / "train.parquet")
    source = {"type": "parquet", "path": str(tmp_path / "train.parquet")}
    settings = {"features": LARGE, "data__train": source}
    whole = toy.experiment(**settings)
    parted = toy.experiment(**settings, train__storage={"memory_mb": 4})
    memory = {e.train.storage is None: inspect(e, build(e)).memory for e in (whole, parted)}
    assert memory[True].disk == 0
    assert memory[False].tables + memory[False].optimizer <= 4 << 20
    assert memory[False].disk == 200_000 * 4 * 3 * 9
    assert 0 < memory[False].hot < 200_000
