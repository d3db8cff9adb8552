"""Rewrites while people search: what is known at once, what the model is asked, and what requests get meanwhile."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.errors import ConfigError, DataError, ModelError
from easyrec.llm.client import Usage
from easyrec.llm.config import load_llm
from easyrec.llm.rewriting.files import rejected_path, write
from easyrec.llm.rewriting.kept import SWEPT, Kept
from easyrec.llm.rewriting.rewriter import Rewriter
from easyrec.llm.rewriting.rewrites import Ask, Made, Rewrite
from serving.rewriting.run import listening_of

HEAD = Made(Ask("Red Shoes", "shoes", None, 9.0), (Rewrite("scarlet shoes", 0.9),))


@pytest.fixture
def document(tmp_path, server):
    """A config whose model answers when `server.go` is set."""
    pq.write_table(pa.table({"query": ["red shoes", "garlic press"]}), tmp_path / "queries.parquet")
    words = ["trail shoes", "running shoes", "shoe polish", "press"]
    pq.write_table(pa.table({"bid_word": words}), tmp_path / "bid_words.parquet")
    write(tmp_path / "rewrites.parquet", [HEAD])
    server.go = threading.Event()
    server.go.set()
    server.said = {"rewrites": ["running trainers", "trail runners"]}

    def answer(path, body):
        server.go.wait(10.0)
        return server.said if not isinstance(server.said, dict) else server.says(json.dumps(server.said))

    server.answer = answer
    model = {"base_url": server.url, "model": "small", "key_env": "MODEL_KEY", "first_wait_s": 0.01, "tries": 2}
    return {
        "model": model,
        "rewrite": {
            "queries": {"path": str(tmp_path / "queries.parquet")},
            "bid_words": {"path": str(tmp_path / "bid_words.parquet")},
            "output": str(tmp_path / "rewrites.parquet"),
            "online": {"deadline_ms": 5000.0},
        },
    }


@pytest.fixture
def run(document):
    """Runs a coroutine with a rewriter of the config."""

    def within(work, **settings):
        async def inside():
            async with Rewriter(*load_llm(document, "rewrite"), **settings) as rewriter:
                return await work(rewriter)

        return asyncio.run(inside())

    return within


def texts(served):
    return [one.text for one in served.rewrites]


def test_the_head_is_known_whatever_its_form_and_nobody_is_asked(run, server):
    async def work(rewriter):
        return [
            await rewriter.rewrite(query, category)
            for query, category in (("red shoes", None), (" RED  shoes!", "shoes"), ("", None), ("?!", None))
        ]

    found = run(work)
    assert [served.origin for served in found] == ["head", "head", "none", "none"]
    assert texts(found[0]) == ["scarlet shoes"]
    assert server.asked == []


def test_a_head_that_is_written_anew_is_taken_and_a_broken_one_is_not(run, server, tmp_path):
    async def work(rewriter):
        assert not rewriter.refresh()
        write(tmp_path / "rewrites.parquet", [Made(Ask("blue hats"), (Rewrite("azure hats and caps", 0.9),))])
        assert rewriter.refresh()
        found = texts(await rewriter.rewrite("blue hats"))
        (tmp_path / "rewrites.parquet").write_bytes(b"broken")
        with pytest.raises(DataError, match="cannot be read"):
            rewriter.refresh()
        return found, texts(await rewriter.rewrite("blue hats"))

    assert run(work) == (["azure hats and caps"], ["azure hats and caps"])
    assert server.asked == []


def test_a_head_needs_no_file_of_what_was_not_taken(run, server, tmp_path):
    async def work(rewriter):
        write(tmp_path / "rewrites.parquet", [Made(Ask("garlic press"), (Rewrite("garlic crusher", 0.8),))])
        rejected_path(tmp_path / "rewrites.parquet").unlink()
        return rewriter.refresh(), await rewriter.rewrite("garlic press")

    was_read, found = run(work)
    assert was_read
    assert (found.origin, texts(found)) == ("head", ["garlic crusher"])


FIRST = """
import asyncio, json, sys
from easyrec.llm.config import load_llm
from easyrec.llm.rewriting.rewriter import Rewriter

async def work():
    async with Rewriter(*load_llm(json.loads(sys.argv[1]), "rewrite")) as rewriter:
        before = set(sys.modules)
        served = await rewriter.rewrite("trail shoes blue")
        print(json.dumps([served.origin, sorted(set(sys.modules) - before)]))

asyncio.run(work())
"""


@pytest.mark.slow
def test_the_first_request_waits_for_no_import(document, server):
    """Loading httpx holds the event loop for a second, and with it requests whose rewrites are known."""
    ran = subprocess.run(
        [sys.executable, "-c", FIRST, json.dumps(document)], capture_output=True, text=True, check=True
    )
    origin, loaded = json.loads(ran.stdout)
    assert origin == "model"
    assert len(loaded) < 10, loaded


def test_a_query_of_another_category_is_another_one(run, server):
    async def work(rewriter):
        return await rewriter.rewrite("red shoes", "toys")

    assert run(work).origin == "model"


def test_the_model_is_asked_once_and_then_the_answer_is_kept(run, server):
    async def work(rewriter):
        first = await asyncio.gather(*(rewriter.rewrite("jogging shoes") for _ in range(20)))
        found = [*first, await rewriter.rewrite("Jogging SHOES")]
        assert rewriter.client.ledger.spent == Usage(calls=1, input=10, output=5), (
            "the client's own cache was not needed"
        )
        return found

    found = run(work)
    assert [served.origin for served in found] == ["model"] * 20 + ["kept"]
    assert {tuple(texts(served)) for served in found} == {("running trainers", "trail runners")}
    assert len(server.asked) == 1
    assert run(lambda rewriter: rewriter.rewrite("jogging shoes")).origin == "kept", "also by the next process"


def test_what_comes_late_is_there_for_the_next_request(run, server):
    server.go.clear()

    async def work(rewriter):
        begun = time.perf_counter()
        first = await rewriter.rewrite("red trail running shoes", deadline_ms=30.0)
        took = time.perf_counter() - begun
        second = await rewriter.rewrite("red trail running shoes", deadline_ms=30.0)
        server.go.set()
        third = await rewriter.rewrite("red trail running shoes")
        return first, took, second, third

    first, took, second, third = run(work)
    assert (first.origin, first.why, second.why) == ("bid_words", "late", "late")
    assert texts(first) == ["trail shoes", "running shoes"], "but no shoe polish"
    assert [one.score for one in first.rewrites] == [0.5, 0.5]
    assert 0.02 < took < 2.0
    assert third.origin == "model"
    assert len(server.asked) == 1


def test_of_a_query_with_the_words_of_a_known_one_its_rewrites_are_given_meanwhile(run, server):
    server.go.clear()

    async def work(rewriter):
        served = await rewriter.rewrite("shoes red", deadline_ms=1.0)
        server.go.set()
        return served

    served = run(work)
    assert (served.origin, texts(served)) == ("alike", ["scarlet shoes"])


def test_only_so_many_are_asked_at_a_time(document, run, server):
    server.go.clear()
    document["rewrite"]["online"]["waiting"] = 3

    async def work(rewriter):
        found = [await rewriter.rewrite(f"thing {number}", deadline_ms=1.0) for number in range(5)]
        server.go.set()
        return found

    assert [served.why for served in run(work)] == ["late"] * 3 + ["busy"] * 2


@pytest.mark.parametrize(
    "said",
    [lambda server: server.says("", refusal="no"), lambda server: server.says("prose"), lambda server: {"x": []}],
    ids=["refused", "unparsed", "no-answer"],
)
def test_what_the_model_does_not_say_is_not_asked_for_again_at_once(run, server, said):
    server.said = said(server)
    server.said = server.said if "choices" in server.said else server.says(json.dumps({"rewrites": []}))

    async def work(rewriter):
        return [await rewriter.rewrite("garlic press steel") for _ in range(2)], len(server.asked)

    (first, second), asked = run(work)
    assert first.why in ("failed", "nothing")
    assert second.why == "nothing"
    assert texts(first) == texts(second) == ["press"]
    assert len(server.asked) == asked


def test_a_server_that_is_gone_is_left_alone_for_a_while(run, server):
    server.said = server.Reply({"error": {"message": "down"}}, status=500)
    clock = [0.0]

    async def work(rewriter):
        first = await rewriter.rewrite("garlic press steel")
        asked = len(server.asked)
        second = await rewriter.rewrite("another press")
        assert len(server.asked) == asked
        clock[0], server.said = 60.0, {"rewrites": ["garlic crusher"]}
        return first, second, await rewriter.rewrite("another press")

    first, second, third = run(work, clock=lambda: clock[0])
    assert [one.why for one in (first, second, third)] == ["failed", "paused", ""]
    assert texts(third) == ["garlic crusher"]


def test_who_goes_away_ends_no_question_of_others(run, server):
    server.go.clear()

    async def work(rewriter):
        gone = asyncio.create_task(rewriter.rewrite("jogging shoes"))
        other = asyncio.create_task(rewriter.rewrite("jogging shoes"))
        while not server.asked:
            await asyncio.sleep(0.005)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        server.go.set()
        return await other

    assert run(work).origin == "model"


def test_what_is_kept_ages_and_has_an_end(tmp_path):
    now = [1000.0]
    kept = Kept(tmp_path / "kept.db", ttl_s=100.0, failed_ttl_s=10.0, entries=50, now=lambda: now[0])
    found = (Rewrite("a", 0.5, "a", "exact", 0.25),)
    kept.put("00", found)
    kept.put("01", ())
    assert (kept.get("00"), kept.get("01"), kept.get("02")) == (found, (), None)
    now[0] += 11.0
    assert (kept.get("00"), kept.get("01")) == (found, None)
    now[0] += 100.0
    assert kept.get("00") is None
    for number in range(2 * SWEPT):
        now[0] += 0.001
        kept.put(f"{number:08x}", found)
    assert len(kept) <= 50 + SWEPT
    assert kept.get(f"{2 * SWEPT - 1:08x}") == found
    assert kept.get("00000000") is None
    kept.close()
    (tmp_path / "other.db").write_bytes(b"no database" * 100)
    with pytest.raises(ModelError, match=r"other\.db"):
        Kept(tmp_path / "other.db", 1.0, 1.0, 1)


def test_a_server_for_others_needs_a_key_that_is_long_enough(document, monkeypatch):
    document["rewrite"]["serve"] = {"host": "0.0.0.0", "key_env": "REWRITE_KEY"}
    _, own = load_llm(document, "rewrite")
    for value in ("", "short"):
        monkeypatch.setenv("REWRITE_KEY", value)
        with pytest.raises(ConfigError, match="16 characters"):
            listening_of(own.serve)


def test_it_is_served_over_http_and_ends_in_order(document, server, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    document["rewrite"]["serve"] = {"port": port, "key_env": "REWRITE_KEY", "queue": 1}
    (tmp_path / "llm.yaml").write_text(json.dumps(document))
    command = [sys.executable, "-m", "easyrec", "llm", "rewrite", "-c", str(tmp_path / "llm.yaml"), "--serve"]
    env = {**os.environ, "REWRITE_KEY": "0123456789abcdef"}
    running = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    key = {"Authorization": "Bearer 0123456789abcdef"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10.0, headers=key) as client:
            for _ in range(1200):
                try:
                    if client.get("/health/ready").status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.05)
            found = client.post("/rewrite", json={"query": "red shoes"}).json()
            assert found == {
                "query": "red shoes",
                "from": "head",
                "rewrites": [{"rewrite": "scarlet shoes", "score": pytest.approx(0.9)}],
            }
            server.go.clear()
            late = client.post("/rewrite", json={"query": "trail shoes blue", "deadline_ms": 5}).json()
            assert (late["from"], late["why"]) == ("bid_words", "late")
            waits = threading.Thread(
                target=client.post, args=["/rewrite"], kwargs={"json": {"query": "trail shoes blue"}}
            )
            waits.start()
            for _ in range(200):
                if (full := client.post("/rewrite", json={"query": "red shoes"})).status_code == 429:
                    break
            assert full.status_code == 429, "one request is waited with, and no second one"
            server.go.set()
            waits.join()
            assert client.post("/rewrite", json={"query": "trail shoes blue"}).json()["from"] in ("model", "kept")
            wrong = [
                client.post("/rewrite", content=b"{"),
                client.post("/rewrite", json={"query": "x"}, headers={"Authorization": "Bearer 0123456789abcdeX"}),
                client.post("/rewrite", content=b'{"query": "x"}', headers={"Content-Type": "text/plain"}),
                client.post("/rewrite", json={"query": "x", "brandd": "y"}),
                client.post("/rewrite", json={"query": "x" * 1001}),
                client.post("/rewrite", json={"query": "x", "deadline_ms": "soon"}),
                client.post("/rewrite", json={"query": "x" * 100_000}),
            ]
            assert [answer.status_code for answer in wrong] == [415, 401, 415, 400, 400, 400, 413]
            told = client.get("/metrics").text
            assert 'easyrec_rewrites_total{origin="head",why=""} ' in told
            assert 'easyrec_rewrites_total{origin="bid_words",why="late"} 1' in told
            assert "easyrec_model_tokens 15" in told
    finally:
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=30.0)
    assert running.returncode == 0, said
