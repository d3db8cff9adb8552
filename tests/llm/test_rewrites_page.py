"""docs/guide/llm_rewrites.md: its tables are made, its config is read, its program runs, and it tells of every key and reason."""

import json
import re
from pathlib import Path
from typing import get_args

import yaml

from easyrec.llm.config import load_llm
from easyrec.llm.rewriting.config import FiltersConfig, OnlineConfig
from easyrec.llm.rewriting.rewriter import Origin, Why
from easyrec.llm.rewriting.rewrites import Reason
from easyrec.llm.tools.rewrite import rewrite

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "llm_rewrites.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(CONFIG,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_what_the_page_shows_runs(server, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL_URL", server.url)
    exec(compile(PROGRAMS[0], "llm_rewrites.md", "exec"), {})
    document = yaml.safe_load(CONFIG.replace("${MODEL_URL}", server.url))
    assert load_llm(document, "rewrite")[1].filters.bid_word == "words"
    document["embedder"] = None
    document["rewrite"]["filters"]["low"] = None
    document["rewrite"]["online"]["deadline_ms"] = 10_000
    Path("llm.yaml").write_text(yaml.safe_dump(document))
    server.answer = lambda path, body: server.says(json.dumps({"rewrites": ["garlic press", "family tent"]}))
    done = rewrite(*load_llm("llm.yaml", "rewrite"))
    assert done.made[1].ask.query == "garlic crusher"
    exec(compile(PROGRAMS[1], "llm_rewrites.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == "head  ['garlic press']\n"


def test_the_page_tells_of_every_reason_origin_and_key():
    words = [*get_args(Reason), *get_args(Origin), *filter(None, get_args(Why))]
    words += FiltersConfig.model_fields
    words += [
        f"online.{name}"
        for name in OnlineConfig.model_fields
        if name in ("ttl_s", "failed_ttl_s", "entries", "waiting", "pause_s")
    ]
    assert [word for word in words if f"`{word}`" not in PAGE] == []
