"""Servers that end, and others that go on where they were."""

import contextlib
import json
import random
import subprocess
import sys
import threading
import time

import httpx
import pytest

from easyrec.errors import RunError


def test_what_was_put_in_is_taken_in_after_a_restart(serve, model_server):
    """A server that ends in the midst of it: the next one goes on, and pays nothing twice."""
    embedder = {"type": "server", "base_url": model_server.url, "model": "m", "key_env": "MODEL_KEY", "tries": 1}
    free = threading.Event()

    def stuck(path, body):
        free.wait(0.05)
        return model_server.Reply({"error": {"message": "down"}}, status=503)

    model_server.answer = stuck
    config = {"knowledge": {"embedder": embedder}, "llm": False, "drain_s": 0}
    first = serve(**config)
    first.ask("POST", "/v1/kb", json={"name": "shop"})
    assert first.put("shop", {"a.md": first.handbook, "b.md": b"# Other\n\nWords.\n"}).status_code == 202
    while first.ask("GET", "/v1/kb/shop/tasks").json()["data"][1]["stage"] != "waits to be tried again":
        time.sleep(0.02)
    model_server.answer = model_server.word_vectors
    with pytest.raises(RunError, match="another server has these"):
        serve(**config)
    first.stop()
    second = serve(**config)
    assert {task["state"] for task in second.until_done("shop").values()} == {"done"}
    assert len(second.ask("GET", "/v1/kb/shop/documents").json()["data"]) == 2


@pytest.mark.slow
def test_no_file_is_lost_when_a_server_is_killed(tmp_path, serve, model_server):
    """kill -9 at ten moments while files come and are taken in: whatever was answered 202 is a document at last."""
    config = {"knowledge": {"path": "kb"}, "server": {"root": "bases", "port": 0, "log": {"level": "error"}}}
    (tmp_path / "rag.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "easyrec", "rag", "serve", "-c", "rag.yaml"]
    taken, number, chance = [], 0, random.Random(7)
    for turn in range(11):
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
            address = process.stdout.readline().removeprefix("knowledge bases: ").strip()
            with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
                while client.get("/ready").status_code != 200:
                    time.sleep(0.05)
                client.post("/v1/kb", json={"name": "shop"})
                if turn == 10:
                    while any(
                        t["state"] in ("waiting", "running")
                        for t in client.get("/v1/kb/shop/tasks", params={"limit": 1000}).json()["data"]
                    ):
                        time.sleep(0.1)
                    there = {
                        d["source"] for d in client.get("/v1/kb/shop/documents", params={"limit": 1000}).json()["data"]
                    }
                    process.terminate()
                    assert process.wait(60) == 0
                    break
                killer = threading.Timer(chance.uniform(0.05, 1.5), process.kill)
                killer.start()
                with contextlib.suppress(httpx.HTTPError):
                    while True:
                        name = f"{number}.md"
                        number += 1
                        files = [("files", (name, f"# Page {number}\n\nWords of {number}.\n".encode()))]
                        if client.post("/v1/kb/shop/documents", files=files).status_code == 202:
                            taken.append(name)
                killer.join()
    assert len(taken) > 10
    assert set(taken) <= there
    kept = [path for path in (tmp_path / "bases" / ".server" / "files").rglob("*") if path.is_file()]
    assert len(kept) == len(there), "files of uploads that were cut off are gone"
