"""The store's page: what it shows, to whom, and what it hides; asked over ASGI, and looked at in a browser."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
import yaml

from easyrec.errors import ConfigError, DataError
from easyrec.lineage.build import lineage
from easyrec.store.definitions import load_store
from easyrec.store.registry import Registry
from easyrec.store.writer import Writer
from easyrec.store_ui.app import App
from easyrec.store_ui.state import State, definition

pytest.importorskip("uvicorn", reason="needs the extra 'serving'")

ROOT = Path(__file__).parents[2]
ODD = '<script>alert(1)</script> & "it"'
TOKEN = "a token of the test's"
CONFIG = {
    "project": "shop",
    "online": {"type": "sqlite", "path": "online.db"},
    "registry": "registry.db",
    "entities": [{"name": "user", "join_id": "user_id", "description": ODD}],
    "views": [
        {
            "name": "profile",
            "entity": "user",
            "owner": ODD,
            "event_time": "ts",
            "ttl": "30d",
            "source": {"type": "parquet", "path": "warehouse/users"},
            "fields": [
                {"name": "age", "type": "int64", "description": ODD},
                {"name": "phone", "type": "string", "redact": True},
                {"name": "tags", "type": "array<string>"},
            ],
            "expect": [{"type": "range", "field": "age", "max": 120}],
        },
        {"name": "empty", "entity": "user", "fields": [{"name": "x", "type": "int64"}]},
    ],
    "models": [{"name": "ctr", "features": [{"view": "profile"}]}],
}


def rows(*ids, age=30):
    count = len(ids)
    return pa.record_batch(
        {
            "user_id": list(ids),
            "age": [age] * count,
            "phone": [f"+49 {key}" for key in ids],
            "tags": [[ODD]] * count,
            "ts": [int(time.time()) - 100] * count,
        }
    )


def filled(**more):
    """Definitions that were applied, rows that were published, and rows that were refused."""
    config = load_store({**CONFIG, **more})
    Registry(Path("registry.db")).apply(config, note=ODD)
    with contextlib.closing(config.online.open("shop")) as store:
        writer = Writer(config, store)
        writer.publish("profile", [rows(1, 2, 3)])
        with contextlib.suppress(DataError):
            writer.publish("profile", [rows(1, age=999)])
    return config


@pytest.fixture
def page(tmp_path, monkeypatch):
    """`page(...)`: asks the page of a store, as `page("/path", headers=...)`."""
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as opened:

        def made(**more):
            config = filled(**more)
            store = opened.enter_context(contextlib.closing(config.online.open("shop")))
            app = App(State(config, store), lineage(config))

            def ask(path, method="GET", base="http://127.0.0.1:8008", **options):
                async def once():
                    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
                        return await client.request(method, path, **options)

                return asyncio.run(once())

            return ask

        yield made


def test_every_page_shows_what_is_there_and_escapes_it(page):
    ask = page()
    paths = ("/", "/views/profile?key=2", "/quality", "/monitors", "/versions", "/lineage", "/views/empty")
    shown = {path: ask(path) for path in paths}
    for path, answer in shown.items():
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text, path
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert ODD.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in shown["/"].text
    assert "profile" in shown["/"].text
    assert ">failed<" in shown["/"].text
    view = shown["/views/profile?key=2"].text
    assert ">30<" in view
    assert "path: warehouse/users" in view
    assert "age in ..120" in shown["/quality"].text
    assert "view 'profile'" in shown["/versions"].text
    assert "column:warehouse/users.age" in shown["/lineage"].text


def test_what_is_redacted_is_shown_nowhere(page):
    ask = page()
    for path in ("/", "/views/profile?key=2", "/quality", "/versions", "/lineage", "/state.json", "/lineage.json"):
        assert "+49" not in ask(path).text, path
    assert "(redacted)" in ask("/views/profile?key=2").text


@pytest.mark.parametrize("key", ["nobody", "", "%00", "a" * 400, "%3Cscript%3E"])
def test_keys_that_are_not_there_are_told(page, key):
    answer = page()(f"/views/profile?key={key}")
    assert answer.status_code == 200
    assert "no row of user_id" in answer.text or "null or empty" in answer.text or key == ""
    assert "<script>" not in answer.text


def test_the_state_is_told_to_programs(page):
    told = page()("/state.json").json()
    profile = told["views"]["profile"]
    assert (profile["generation"], profile["rows"], profile["checked"]["verdict"]) == (1, 3, "failed")
    assert 100 <= profile["age_seconds"] < 1000
    assert profile["writing"] is not None  # who was refused left a generation behind
    assert told["views"]["empty"]["generation"] is None


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/nothing", "GET", 404), ("/views/nothing", "GET", 404), ("/", "POST", 405), ("/login", "POST", 405)],
)
def test_what_is_not_served_is_told(page, path, method, status):
    assert page()(path, method).status_code == status


def test_a_page_of_elsewhere_does_not_get_through_by_a_name_of_its_own(page):
    ask = page()
    assert ask("/", base="http://evil.example:8008").status_code == 403
    assert ask("/", base="http://localhost:8008").status_code == 200


def test_without_the_token_nothing_is_shown(page):
    ask = page(ui={"token": TOKEN})
    for path in ("/", "/views/profile", "/state.json", "/lineage"):
        assert ask(path).status_code == 401
        assert ask(path, headers={"authorization": "Bearer wrong"}).status_code == 401
        assert ask(path, headers={"cookie": "easyrec_store=wrong"}).status_code == 401
        assert ask(path, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert ask("/", headers={"accept": "text/html"}).headers["location"] == "/login"
    assert ask("/login", "POST", data={"token": "wrong"}).status_code == 401
    done = ask("/login", "POST", data={"token": TOKEN})
    assert done.status_code == 303
    cookie = done.headers["set-cookie"]
    assert "HttpOnly; SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert ask("/", headers={"cookie": cookie.partition(";")[0]}).status_code == 200
    assert ask("/login", "POST", content=b"x" * 10_000).status_code == 413


def test_addresses_are_shown_nowhere(page, monkeypatch):
    ask = page()
    other = {**CONFIG, "online": {"type": "redis", "url": "redis://:secret-of-redis@host"}, "ui": {}}
    source = {"type": "parquet", "path": "warehouse/users", "storage_options": {"key": "secret-of-s3"}}
    other["views"] = [{**CONFIG["views"][0], "source": source}, CONFIG["views"][1]]
    other["views"][0]["fields"] = [*CONFIG["views"][0]["fields"], {"name": "more", "type": "int64"}]
    Registry(Path("registry.db")).apply(load_store(other), force=True)
    text = ask("/versions").text
    assert "online store . url" in text
    assert "field 'more'" in text
    assert "secret-of" not in text
    assert "secret-of" not in yaml.safe_dump(definition(load_store(other).view("profile")))


def test_a_token_is_in_no_registry_error_or_definition(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = filled(ui={"token": TOKEN})
    assert TOKEN not in repr(config)
    assert TOKEN.encode() not in Path("registry.db").read_bytes() + b"".join(
        path.read_bytes() for path in Path().glob("registry.db-*")
    )
    with pytest.raises(ConfigError) as told:
        load_store({**CONFIG, "ui": {"token": "too short"}})
    assert "too short" not in str(told.value)
    with pytest.raises(ConfigError, match=r"who reaches 0\.0\.0\.0 would see the store: set a token"):
        load_store({**CONFIG, "ui": {"host": "0.0.0.0"}})


class Stats(BaseHTTPRequestHandler):
    """Answers as `/stats` of a server that reads a store does: numbers by model and view."""

    def do_GET(self):
        numbers = {"entity": "user", "generation": 1, "age_s": 9.0, "rate": 12.5, "p50_ms": 0.25, "p95_ms": 1.0}
        numbers |= {"p99_ms": 2.0, "hits": 41_000, "misses": 7, "expired": 0, "defaulted": 3}
        allowed = self.path == "/stats" and self.headers["authorization"] == f"Bearer {TOKEN}"
        body = json.dumps({"models": {ODD: {"profile": numbers}}} if allowed else []).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


def test_what_servers_counted_is_shown_and_those_that_are_down_are_told(page):
    with HTTPServer(("127.0.0.1", 0), Stats) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        there = f"http://127.0.0.1:{server.server_port}"
        try:
            text = page(ui={"stats": [there, "http://127.0.0.1:9"], "stats_token": TOKEN})("/monitors").text
        finally:
            server.shutdown()
            thread.join()
    assert "<script>alert" not in text
    for shown in ("12.5", "0.25", "41,000", "does not tell: ", "being written for"):
        assert shown in text
    with pytest.raises(ConfigError, match="addresses of http or https"):
        load_store({**CONFIG, "ui": {"stats": ["file:///etc/passwd"]}})


# ---------------------------------------------------------------------------------------- in a browser


@pytest.fixture
def address(tmp_path, monkeypatch):
    """Of a page that `easyrec store ui` serves."""
    monkeypatch.chdir(tmp_path)
    filled()
    (tmp_path / "store.yaml").write_text(yaml.safe_dump({**CONFIG, "ui": {"port": 0, "token": "${PAGE_TOKEN}"}}))
    command = [sys.executable, "-m", "easyrec", "store", "ui", "-c", "store.yaml"]
    command += ["--config", str(ROOT / "configs" / "shop" / "lr.yaml")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PAGE_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1"}
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("the store's page: http://127.0.0.1:"), line
        yield line.split(": ", 1)[1].strip()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stdout.close()


def test_a_person_signs_in_looks_up_a_key_and_follows_the_lineage(address, browser):
    browser.open(address)
    browser.wait("document.querySelector('input[type=password]') !== null")
    browser.run(f"document.querySelector('input[type=password]').value = {json.dumps(TOKEN)}")
    browser.run("document.querySelector('form').submit()")
    browser.wait("document.querySelectorAll('nav a').length === 5")
    browser.run("document.querySelector('a[href=\"/views/profile\"]').click()")
    browser.wait("document.querySelector('input[name=key]') !== null")
    browser.run("document.querySelector('input[name=key]').value = '2'")
    browser.run("document.querySelector('form').requestSubmit()")
    browser.wait("document.body.textContent.includes(\"value of '2'\")")
    text = browser.run("document.body.textContent")
    assert "(redacted)" in text
    assert "+49" not in text
    assert ODD in text
    browser.run("document.querySelector('a[href=\"/lineage\"]').click()")
    browser.wait("document.querySelector('.node') !== null")
    browser.run("document.querySelector('.node[data-id=\"column:warehouse/users.age\"]').click()")
    browser.wait("document.querySelectorAll('#threads path').length > 0")
    browser.run("document.getElementById('gone').click()")
    told = browser.run("document.getElementById('told').textContent")
    assert told == "without warehouse/users.age: models broken: shop_lr"
    for path in ("quality", "monitors", "versions"):
        browser.run(f"document.querySelector('a[href=\"/{path}\"]').click()")
        browser.wait(f"location.pathname === '/{path}' && document.readyState === 'complete'")
    assert browser.complaints() == []
