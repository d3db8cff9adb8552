"""docs/guide/rag_server.md and rag_ui.md: configs are read, the program runs."""

import re
from pathlib import Path

import pytest

from rag.config import load_rag

GUIDE = Path(__file__).parents[3] / "docs" / "guide"
SERVER, UI = ((GUIDE / f"{name}.md").read_text(encoding="utf-8") for name in ("rag_server", "rag_ui"))


@pytest.mark.parametrize("page", [SERVER, UI], ids=["server", "ui"])
def test_the_config_is_read(page, tmp_path, monkeypatch):
    for name in ("MODEL_URL", "KEEPER_KEY", "ANNA_KEY", "SHOP_KEY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:1/{name}")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "rag.yaml").write_text(text)
    config = load_rag(tmp_path / "rag.yaml")
    assert config.server.port == 8040


def test_the_program_runs(serve, model_server, monkeypatch, capsys):
    served = serve(users=serve.users)
    monkeypatch.setenv("RAG_ADDRESS", served.address)
    monkeypatch.setenv("KEEPER_KEY", serve.keys["root"])
    model_server.answer = lambda path, body: model_server.Reply(pieces=serve.spoken("Five days [1]."))
    (program,) = re.findall(r"```python\n(.*?)```", SERVER, re.DOTALL)
    exec(compile(program, "rag_server.md", "exec"), {})
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("done A refund takes five days. {'keyword': ")
    assert last == "Five days [1]. [(1, 'refunds.md')]"


def test_every_path_is_told():
    pytest.importorskip("starlette", reason="needs the extra 'rag-server'")
    from rag.server import routes

    for route in routes.routes():
        told = route.path.removeprefix("/v1/kb/{base}") if route.path.startswith("/v1/kb/{base}/") else route.path
        last = [part for part in told.split("/") if part and not part.startswith("{")][-1]
        assert last in SERVER, route.path
