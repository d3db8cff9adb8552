"""What docs/guide/llm_embeddings.md shows runs, as it stands there."""

import datetime
import re
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main
from easyrec.llm.config import load_llm
from easyrec.store.definitions import load_store

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "llm_embeddings.md").read_text(encoding="utf-8")
FILES = ("llm.yaml", "ctr.yaml", "store.yaml", "towers.yaml")
"""What the YAML blocks are called, in their order."""


@pytest.fixture
def shop(tmp_path, monkeypatch, model_server):
    """A folder with the page's configs, and tables that they read."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for name, text in zip(FILES, blocks, strict=True):
        Path(name).write_text(text)
    random = np.random.default_rng(0)
    words = np.array(
        ["red", "blue", "green", "shoe", "kettle", "lamp", "chair", "book", "light", "heavy", "small", "large"]
    )
    titles = [" ".join(random.choice(words, 4)) for _ in range(80)]
    pq.write_table(pa.table({"item_id": np.arange(80), "title": titles, "tags": [["new"]] * 80}), "items.parquet")
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    rows = 1500
    clicks = {"user_id": random.integers(0, 30, rows), "item_id": random.integers(0, 60, rows)}
    clicks["shown_at"] = pa.array(
        [day + datetime.timedelta(minutes=9 * row) for row in range(rows)], pa.timestamp("us", "UTC")
    )
    clicks["click"] = random.integers(0, 2, rows)
    pq.write_table(pa.table(clicks), "clicks.parquet")
    return model_server


def test_its_configs_are_valid(shop):
    config, own = load_llm("llm.yaml", "embed")
    assert [table.name for table in own.tables] == ["items", "users", "tastes"]
    assert config.embeds().type == "local"
    assert load_store("store.yaml").view("item_texts").type == "embedding"
    for key in type(own.tables[0]).model_fields:
        assert f"`{key}`" in PAGE


@pytest.mark.slow
def test_its_commands_run_one_after_another(shop):

    shop.answer = shop.word_vectors
    embedder = f"embedder={{type: server, base_url: '{shop.url}', model: m, key_env: MODEL_KEY}}"
    quick = ["-o", "train.epochs=1", "train.threads=1"]
    commands = [
        line
        for text in re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        for line in text.splitlines()
    ]
    assert len(commands) == 8
    for line in commands:
        words = shlex.split(line)[1:]
        if words[0] == "llm":
            words += ["-o", embedder]
        if words[0] == "train":
            words += quick
        if words[:2] == ["train", "-c"] and words[2] == "towers.yaml":
            make_pairs()
        if words[0] == "semantic-ids":
            words += ["-o", "codes=8"]
        assert main(words) == 0, line
    found = pq.read_table("found.parquet")
    assert len(found) == 30
    assert any(item >= 60 for items in found["items"].to_pylist() for item in items), "new items are found"


def make_pairs():
    """A user, an item that he took, and its vector."""
    clicks = pq.read_table("clicks.parquet", filters=[("click", "==", 1)]).select(["user_id", "item_id"])
    vectors = pq.read_table("item_vectors.parquet", columns=["vector"])["vector"].combine_chunks()
    pq.write_table(clicks.append_column("vector", vectors.take(clicks["item_id"])), "pairs.parquet")
    pq.write_table(pa.table({"user_id": np.arange(30)}), "users.parquet")
