"""`easyrec llm pair` against a real model of 135 million parameters, behind the server of llama.cpp."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.llm.config import load_llm
from easyrec.llm.tools.pair import pair

pytest.importorskip("tantivy", reason="needs the extra 'rag'")
pytestmark = pytest.mark.slow
NAMES = ["Tents", "Sleeping bags", "Hiking boots", "Wool socks", "Gas stoves", "Novels"]


def test_a_small_model_answers_by_the_schema_and_nothing_but_ids_comes_out(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"id": list(range(6)), "name": NAMES}), "categories.parquet")
    config = {
        "model": {"base_url": small.url, "model": "small", "timeout_s": 120, "max_tokens": 400, "cache": "answers.db"},
        "pair": {"output": "pairs.parquet", "names": {"path": "categories.parquet"}, "count": 4, "max_failed": 0.5},
    }
    done = pair(*load_llm(config, "pair"))
    kinds = done.asked["complement"].kinds
    assert kinds["answered"] + kinds["cut"] == 6  # the server enforces the schema: nothing is unparsed
    assert kinds["answered"] >= 4
    report = json.loads(Path("pairs.parquet.report.json").read_text())
    assert report["tokens"]["output"] == done.asked["complement"].spent.output > 0
    table = pq.read_table("pairs.parquet")
    assert set(table["paired"].to_pylist()) <= set(range(6))
    assert sum(done.names.values()) > 0
    again = pair(*load_llm(config, "pair"))
    assert again.asked["complement"].spent.output == 0
    assert pq.read_table("pairs.parquet").equals(table)
