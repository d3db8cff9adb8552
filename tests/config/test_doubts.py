"""What a config says and may not mean."""

import pytest

from easyrec.cli import main
from easyrec.config import load_experiment

SHOP = {"type": "synthetic", "name": "shop"}


def doubts(given=(), **parts):
    return load_experiment(
        {
            "data": {**parts, "labels": ["click"]},
            "features": [{"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 9}],
            "model": {"type": "lr"},
        }
    ).doubts(given)


@pytest.mark.parametrize(
    ("valid", "told"),
    [
        ({"rows": 500}, "other requests, pages and labels: make rows (1000000 and 500) equal"),
        ({"seed": 1}, "other users, items and effects: make seed (0 and 1) equal"),
        (
            {"seed": 1, "size": "large", "rows": 9},
            "other users, items and effects: make seed (0 and 1) and size (small and large) and rows (1000000 and 9) equal",
        ),
    ],
    ids=["rows", "seed", "all"],
)
def test_parts_of_different_shops_are_doubted(valid, told):
    found = doubts(train={**SHOP, "split": "train"}, valid={**SHOP, "split": "valid", **valid}, test={**SHOP})
    assert found == [f"data.train and data.valid are of different shops, of {told}"]


def test_parts_of_one_shop_and_of_other_sources_are_not():
    assert not doubts(train={**SHOP, "split": "train"}, valid={**SHOP, "split": "valid"})
    assert not doubts(train=SHOP, valid={"type": "parquet", "path": "x.parquet"})
    assert not doubts(train={"type": "parquet", "path": "x.parquet"}, test=SHOP)
    assert not doubts(valid=SHOP, test={**SHOP, "seed": 1})


@pytest.mark.parametrize(("given", "told"), [(["train"], 0), (["valid"], 1), (["valid", "test"], 0)])
def test_parts_that_others_stand_in_for_are_not(given, told):
    other = {**SHOP, "seed": 1}
    assert len(doubts(given, train=SHOP, valid=other, test=other)) == told


def test_they_are_told_where_no_data_are_touched(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("""\
data:
  train: {type: synthetic, name: shop, split: train}
  test: {type: synthetic, name: shop, split: test, rows: 5}
  labels: [click]
features: [{type: id, name: user_id, expression: "user:user_id", num_buckets: 9}]
model: {type: lr}
""")
    assert main(["check", "-c", "c.yaml", "--config-only"]) == 0
    assert "warning: data.train and data.test are of different shops" in capsys.readouterr().out
