"""The page of the engine runs from its script to lists, traces and a server, with its configs and commands."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from easyrec.cli import main
from feature_generator import plugins
from feature_generator.config import members, plug
from serving.engine.config import load_engine_config

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "engine.md").read_text(encoding="utf-8")
TOKEN = "an admin's token of the tests"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def engine():
    (text,) = (text for text in blocks("yaml") if text.startswith("# engine.yaml"))
    return text


def test_the_config_of_the_page_is_valid(monkeypatch):
    monkeypatch.setenv("ENGINE_ADMIN", TOKEN)
    config = load_engine_config(yaml.safe_load(engine().replace("${ENGINE_ADMIN}", TOKEN)))
    assert [source.called for source in config.scenes[0].recall] == ["ann", "near", "popular", "liked", "cold"]


def test_the_tables_name_every_member_and_its_keys():
    for family in ("recall", "filters", "rerank"):
        for name in members(f"serving.engine.{family}"):
            row = re.search(rf"^\| `{name}` \|.*$", PAGE, re.M)
            assert row, name
    for name in members("serving.engine.history"):
        assert f"`{name}`" in PAGE


def test_the_source_of_ones_own_runs(tmp_path):
    (text,) = (text for text in blocks("python") if "MySource" in text)
    (tmp_path / "my_source.py").write_text(text)
    plug(tmp_path / "my_source.py")
    try:
        assert "my_source" in members("serving.engine.recall")
    finally:
        plugins.files.pop(("serving.engine.recall", "my_source"))
        members.cache_clear()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The folder where all commands have run but `serve`."""
    folder = tmp_path_factory.mktemp("engine")
    before = os.environ.get("ENGINE_ADMIN")
    os.environ["ENGINE_ADMIN"] = TOKEN
    with contextlib.chdir(folder):
        (script,) = (text for text in blocks("python") if "ROWS" in text)
        exec(script.replace("200_000", "60_000"), {})
        for text in (part for block in blocks("yaml") for part in block.split("---\n")):
            Path(re.match(r"# (\w+\.yaml)", text)[1]).write_text(text)
        for line in "".join(blocks("bash")).splitlines():
            words = shlex.split(line.partition(" #")[0].partition(" ||")[0])
            if words[0] != "easyrec" or words[2] == "serve":
                continue
            assert main(words[1:]) == (1 if "9999999" in words else 0), line
        yield folder
    if before is None:
        del os.environ["ENGINE_ADMIN"]


@contextlib.contextmanager
def served(shop):
    """The port of a server of the page's engine."""
    command = [sys.executable, "-m", "easyrec", "engine", "serve", "-c", "engine.yaml", "-o", "port=0"]
    server = subprocess.Popen(command, cwd=shop, stderr=subprocess.PIPE, text=True)
    try:
        events = map(json.loads, server.stderr)
        port = next(event["port"] for event in events if event["event"] == "listening")
        next(event for event in events if event["event"] == "ready")
        yield port
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
        server.stderr.close()


@pytest.mark.slow
def test_a_click_changes_the_next_list(shop):
    with served(shop) as port:

        def ask(path, body, **headers):
            request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), headers)
            with urllib.request.urlopen(request) as reply:
                return json.loads(reply.read())

        question = {"user_id": 7, "context": {"hour": 9}}
        for number in range(100):  # where others have the processors, stages may come too late
            first = ask("/recommend", {**question, "user_id": 7 + number})
            assert len(first["items"]) == 20
            if not first["degraded"]:
                break
        assert first["degraded"] == []
        question["user_id"] += number
        clicked = first["items"][0]["item_id"]
        event = {
            "event_id": "e1",
            "type": "click",
            "user_id": question["user_id"],
            "item_id": clicked,
            "request_id": first["request_id"],
        }
        assert ask("/events", {"events": [event]}) == {"taken": 1, "known": 0}
        second = ask("/recommend", question)
        assert {item["item_id"] for item in first["items"]} & {item["item_id"] for item in second["items"]} == set()
        told = ask("/trace", {**question, "parameters": {"size": 3}}, authorization=f"Bearer {TOKEN}")
        assert told["sources"]["liked"] > 0  # the category of the click
        assert [item["position"] for item in told["items"][:4]] == [0, 1, 2, None]
        assert set(told["items"][0]["stages"]) >= {"merge", "prerank", "rank", "rerank.mmr"}
        assert set(told["items"][0]["stages"]["rank"]["tasks"]) == {"ctr", "cvr"}
    lines = [json.loads(line) for file in (shop / "logs").glob("exposures-*") for line in file.read_text().splitlines()]
    shown = next(line for line in lines if line["request_id"] == second["request_id"])
    assert shown["features"]["click_seq__cate"] is not None
    assert 0.0 < shown["propensity"] <= 1.0


@pytest.mark.slow
def test_the_page_of_a_trace_shows_it(shop, browser):
    browser.open(f"file://{shop / 'trace.html'}", width=1500, height=1000)
    browser.wait("document.querySelectorAll('#ways tr.shown').length === 20")
    assert browser.complaints() == []
    assert "recall" in browser.run("document.getElementById('funnel').textContent")


@pytest.mark.slow
def test_the_page_of_a_running_engine_says_what_would_be(shop, browser):
    with served(shop) as port:
        browser.open(f"http://127.0.0.1:{port}/ui#user_id=7", width=1300, height=900)
        browser.wait("document.getElementById('told').textContent.includes('token')")

        def ask(parameters):
            text = json.dumps(json.dumps(parameters))
            browser.run(f"document.querySelector('[name=parameters]').value = {text}; 1")
            browser.run("document.querySelector('form.ask button').click(); 1")

        browser.run(f"document.getElementById('token').value = {json.dumps(TOKEN)}; 1")
        ask({})
        browser.wait("document.querySelectorAll('#ways tr.shown').length === 20")
        ask({"size": 7, "rank.score": "cvr"})
        browser.wait("document.querySelectorAll('#ways tr.shown').length === 7")
        assert "rank.score" in browser.run("document.getElementById('about').textContent")
        ask({"rank.scor": "cvr"})
        browser.wait("document.getElementById('told').textContent.includes(\"did you mean 'score'\")")
