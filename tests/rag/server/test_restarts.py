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


def ended(served):
    """The evaluations of `shop` when all came to their end, the first one first."""
    end = time.monotonic() + 60
    while True:
        found = served.ask("GET", "/v1/kb/shop/evaluations").json()["data"]
        if all(one["state"] in ("done", "failed") for one in found):
            return found[::-1]
        assert time.monotonic() < end, found
        time.sleep(0.02)


def test_what_was_to_be_measured_is_measured_after_a_restart(serve, model_server):
    first = serve()
    first.filled()
    begun = threading.Event()

    def slow(path, body):
        begun.set()
        return model_server.Reply(pieces=serve.spoken("Five days [1]."), wait=0.5)

    model_server.answer = slow
    questions = [{"question": f"refund {number}?", "kind": "unanswerable"} for number in range(3)]
    body = {"questions": questions, "answers": True, "metrics": ["abstention"]}
    for name in ("running", "waiting"):
        more = {"name": name, "settings": {"search": {"k": 1}}}
        assert first.ask("POST", "/v1/kb/shop/evaluations", json={**body, **more}).status_code == 202
    assert begun.wait(30)
    told = first.ask("GET", "/v1/kb/shop/evaluations").json()["data"]
    first.stop()
    model_server.answer = lambda path, body: model_server.Reply(pieces=serve.spoken("Five days [1]."))
    second = serve()
    found = ended(second)
    assert [(one["name"], one["state"], one["questions"]) for one in found] == [
        ("running", "done", 3),
        ("waiting", "done", 3),
    ]
    assert [(one["id"], one["created"]) for one in found[::-1]] == [(one["id"], one["created"]) for one in told]
    report = second.ask("GET", f"/v1/kb/shop/evaluations/{found[0]['id']}").json()["report"]
    assert "could not be asked" not in json.dumps(report)
    second.stop()
    third = serve()
    asked = len(model_server.asked)
    assert [one["state"] for one in ended(third)] == ["done", "done"]
    assert len(model_server.asked) == asked, "what is done is not done again"


def test_what_servers_die_of_is_not_tried_for_ever_and_what_is_damaged_stops_nobody(serve, tmp_path):
    from rag.server.asked import Asked, write

    first = serve()
    first.filled()
    first.stop()
    folder = tmp_path / "bases" / ".server" / "evaluations"
    one = {"base": "shop", "user": "local", "created": 1.0, "base_settings": {}, "settings": {}, "answers": False}
    one |= {"questions": [{"question": "refund?"}], "metrics": ["hit_rate"]}
    for number, deaths in enumerate((2, 3)):
        write(folder, Asked(**one, id=f"{number}" * 32, name=f"{deaths}", ended=deaths))
    (folder / "shop" / f"{'f' * 32}.asked").write_text("{")
    write(folder, Asked(**{**one, "base": "gone"}, id="a" * 32, name="its knowledge base is gone"))
    found = {run["name"]: run for run in ended(serve())}
    assert (found["2"]["state"], found["3"]["state"]) == ("done", "failed")
    assert found["3"]["error"] == "the server died 3 times while this was measured"
    assert set(found) == {"2", "3"}
    assert list(folder.glob("*/*.asked")) == []


@contextlib.contextmanager
def in_a_process(folder, **config):
    """`rag serve` in a process of its own, and a client of it."""
    told = {"knowledge": {"path": "kb"}, "server": {"root": "bases", "port": 0, "log": {"level": "error"}}, **config}
    (folder / "rag.yaml").write_text(json.dumps(told))
    command = [sys.executable, "-m", "easyrec", "rag", "serve", "-c", "rag.yaml"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().removeprefix("knowledge bases: ").strip()
            with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
                while client.get("/ready").status_code != 200:
                    time.sleep(0.05)
                yield process, client
        finally:
            process.kill()


@pytest.mark.slow
def test_no_evaluation_is_lost_when_a_server_is_killed(tmp_path, serve, model_server):
    """kill -9 in the midst of one, twice: the third server makes it, and the one that waited."""
    model = {"base_url": model_server.url, "model": "m", "key_env": "MODEL_KEY"}
    pieces = serve.spoken("Five days [1].")
    model_server.answer = lambda path, body: model_server.Reply(pieces=pieces, wait=0.3)
    path, names = "/v1/kb/shop/evaluations", ("running", "waiting")
    questions = [{"question": f"refund {number}?", "kind": "unanswerable"} for number in range(20)]
    for turn in range(3):
        asked = len(model_server.asked)
        with in_a_process(tmp_path, llm=model) as (process, client):
            if turn == 0:
                client.post("/v1/kb", json={"name": "shop"})
                client.post("/v1/kb/shop/documents", files=[("files", ("refunds.md", b"# Refund\n\nA refund.\n"))])
                while not client.get("/v1/kb/shop/documents").json()["data"]:
                    time.sleep(0.05)
                for name in names:
                    body = {"name": name, "questions": questions, "answers": True, "metrics": ["abstention"]}
                    assert client.post(path, json=body).status_code == 202
            elif turn == 2:
                model_server.answer = lambda path, body: model_server.Reply(pieces=pieces)
            end = time.monotonic() + 60
            while len(model_server.asked) < asked + 5:
                assert time.monotonic() < end
                time.sleep(0.01)
            runs = client.get(path).json()["data"]
            assert [run["name"] for run in runs[::-1]] == list(names)
            while turn == 2 and any(run["state"] != "done" for run in runs):
                assert time.monotonic() < end, runs
                time.sleep(0.1)
                runs = client.get(path).json()["data"]
            process.kill()
    assert list((tmp_path / "bases").rglob("*.asked")) == []


@pytest.mark.slow
def test_no_file_is_lost_when_a_server_is_killed(tmp_path, serve, model_server):
    """kill -9 at ten moments while files come and are taken in: whatever was answered 202 is a document at last."""
    taken, number, chance = [], 0, random.Random(7)
    for turn in range(11):
        with in_a_process(tmp_path) as (process, client):
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
            killer = threading.Timer(chance.uniform(0.0, 0.2), process.kill)
            last = len(taken) + chance.randint(1, 8)  # by files, not by the clock: servers are slow on busy machines
            with contextlib.suppress(httpx.HTTPError):
                while True:
                    name = f"{number}.md"
                    number += 1
                    files = [("files", (name, f"# Page {number}\n\nWords of {number}.\n".encode()))]
                    if client.post("/v1/kb/shop/documents", files=files).status_code == 202:
                        taken.append(name)
                    if len(taken) >= last and not killer.ident:
                        killer.start()
            killer.join()
    assert len(taken) > 10
    assert set(taken) <= there
    kept = [path for path in (tmp_path / "bases" / ".server" / "files").rglob("*") if path.is_file()]
    assert len(kept) == len(there), "files of uploads that were cut off are gone"
