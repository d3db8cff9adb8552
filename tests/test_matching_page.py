"""The page about matching is complete, and its configs run."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import easyrec
from feature_generator.config import member, members

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "matching.md").read_text(encoding="utf-8")
FIRST, HARD, SECOND, SAMPLED = (yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S))
FAMILIES = (
    "easyrec.data.samplers",
    "easyrec.losses.sampled",
    "easyrec.retrieval.metrics",
    "easyrec.retrieval.indexes",
)


def taken(rows):
    random = np.random.default_rng(1)
    return pd.DataFrame({"user_id": random.integers(0, 50, rows), "item_id": random.integers(0, 30, rows)})


ITEMS = pd.DataFrame({"item_id": np.arange(30), "cate": np.arange(30) % 4})


@pytest.mark.parametrize(("family", "name"), [(f, n) for f in FAMILIES for n in members(f)])
def test_every_member_is_listed_with_its_keys(family, name):
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    own = {"type", "logq", "known", "k", "metric", "name", "rebuild_at"}
    keys = set(member(family, name).Config.model_fields) - own
    assert {key for key in keys if f"`{key}`" not in row} == set()


def trained(config, data, tmp_path):
    run = easyrec.train(config, data=data, run_dir=tmp_path / "run", export=False, progress=False)
    return run.metrics["valid"]


def test_the_two_towers_train(tmp_path):
    data = {"train": taken(300), "valid": taken(50), "items": ITEMS}
    assert set(trained(FIRST, data, tmp_path)) == {"recall@100", "ndcg@10"}


def test_hard_negatives_train(tmp_path):
    random = np.random.default_rng(2)
    named = {name: random.integers(0, 30, (300, 4)).tolist() for name in ("left", "taken")}
    rows = taken(300).assign(**named)
    found = trained({**HARD, **SAMPLED}, {"train": rows, "valid": rows[:50], "items": ITEMS}, tmp_path)
    assert set(found) == {"ndcg@10", "sampled_ndcg@10/20"}
    assert found["ndcg@10"] < found["sampled_ndcg@10/20"]


def test_the_sequence_trains(tmp_path):
    past = [list(range(start, start + 5)) for start in range(20)]
    data = {
        "train": pd.DataFrame({"history__item_id": past}),
        "valid": pd.DataFrame({"history__item_id": past, "item_id": [walk[-1] + 1 for walk in past]}),
        "items": ITEMS,
    }
    found = trained({**FIRST, **SECOND, "eval": {}}, data, tmp_path)
    assert set(found) == {"recall@10", "ndcg@10", "mrr@10", "recall@100", "coverage@10"}


def test_the_index_that_is_shown_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (shown,) = (text for text in re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S) if "indexes" in text)
    found = {}
    exec(shown, found)
    assert found["ids"].max() < 100
    assert 7 not in found["ids"]
    assert len(found["index"]) == 999
