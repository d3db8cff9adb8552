"""The tutorial about recall runs from its small shop to what is served, with its config and its commands."""

import contextlib
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from easyrec.cli import main
from easyrec.retrieval.indexes import Index
from feature_generator.config import members

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "recall_million.md").read_text(encoding="utf-8")
SMALLER = {"5_000": "200", "20_000": "2_000", "200_000": "6_000"}


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The folder where everything has run."""
    folder = tmp_path_factory.mktemp("recall")
    with contextlib.chdir(folder):
        (script,) = (text for text in blocks("python") if "CLICKS" in text)
        exec(re.sub("|".join(SMALLER), lambda found: SMALLER[found[0]], script), {})
        (config,) = blocks("yaml")
        small = yaml.safe_load(re.sub(r"(hash_bucket_size): \d{5,}", r"\1: 9000", config))
        small["train"] |= {"epochs": 4}
        small["data"] |= {"batch_size": 128}
        Path("recall.yaml").write_text(yaml.safe_dump(small))
        for line in "".join(blocks("bash")).splitlines():
            words = shlex.split(re.sub(r"lists=\d+", "lists=16", line))[1:]
            words += ["--seconds", "0.02", "--queries", "50"] if words[0] == "index" else []
            assert main(words) == 0, line
        yield folder


def test_everyone_gets_items_that_they_did_not_have(shop):
    users, found = pd.read_parquet(shop / "log" / "test.parquet"), pd.read_parquet(shop / "found.parquet")
    assert found["user_id"].tolist() == users["user_id"].tolist()
    assert all(len(items) == 100 for items in found["items"])
    assert not any(set(items) & set(seen) for items, seen in zip(found["items"], users["seen"], strict=True))
    hits = [item in items for item, items in zip(users["item_id"], found["items"], strict=True)]
    assert np.mean(hits) > 2 * 100 / 2000  # twice as many as by chance


def test_the_filter_is_kept(shop):
    cates = pd.read_parquet(shop / "items.parquet").set_index("item_id")["cate"]
    found = pd.read_parquet(shop / "some.parquet")
    assert set(cates[np.concatenate(found["items"].to_list())]) <= {3, 5}


def test_the_index_is_the_one_that_was_suggested(shop):
    assert (shop / "runs" / "recall" / "items" / "tuning" / "report.html").exists()
    assert Index.load(shop / "runs" / "recall" / "items" / "index").attributes.table.column_names == ["brand", "cate"]


def test_what_is_served_runs(shop, capsys, monkeypatch):
    monkeypatch.chdir(shop)
    for code in (text for text in blocks("python") if "CLICKS" not in text):
        exec(code, {})
    assert capsys.readouterr().out.startswith("[")
    assert len(Index.load("served")) == 1999


def test_every_index_is_in_the_table():
    for name in members("easyrec.retrieval.indexes"):
        assert f"\n| `{name}` |" in PAGE
