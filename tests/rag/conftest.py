"""A server of knowledge bases over real HTTP, in a thread of the test's."""

import contextlib
import socket
import threading
import time

import httpx
import pytest

from rag.config import load_rag

KEYS = {"root": "the key of who may all", "anna": "the key of anna of hr", "otto": "the key of otto, who reads"}
USERS = [
    {"name": "root", "key": KEYS["root"], "rights": ["admin"], "access": "all"},
    {"name": "anna", "key": KEYS["anna"], "rights": ["write"], "access": ["hr"], "bases": ["shop"]},
    {"name": "otto", "key": KEYS["otto"], "rights": ["read"]},
]


def spoken(text):
    """An answer that comes in pieces."""
    words = [{"choices": [{"delta": {"content": word}}]} for word in text.split("|")]
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
    return [*words, end]


class Served:
    """A running server, asked as somebody."""

    handbook = b"# Shop\n\n## Refunds\n\nA refund takes five days.\n\n## Delivery\n\nBy post in two days.\n"

    def __init__(self, address):
        self.address = address
        self.client = httpx.Client(base_url=address, timeout=60.0, trust_env=False)

    def ask(self, method, path, who=None, **options):
        headers = {"authorization": f"Bearer {KEYS[who]}"} if who else {}
        headers |= options.pop("headers", {})
        return self.client.request(method, path, headers=headers, **options)

    def put(self, base, files, who=None, **fields):
        parts = [("files", (name, content)) for name, content in files.items()]
        return self.ask("POST", f"/v1/kb/{base}/documents", who, files=parts, data=fields)

    def until_done(self, base, who=None):
        end = time.monotonic() + 60
        while True:
            tasks = self.ask("GET", f"/v1/kb/{base}/tasks", who).json()["data"]
            if all(task["state"] in ("done", "failed", "held", "cancelled") for task in tasks):
                return {task["source"]: task for task in reversed(tasks)}
            assert time.monotonic() < end, tasks
            time.sleep(0.02)

    def filled(self, who=None, **fields):
        """A knowledge base `shop` with the handbook in it; the number of its document."""
        assert self.ask("POST", "/v1/kb", "root" if who else None, json={"name": "shop"}).status_code == 201
        answer = self.put("shop", {"refunds.md": self.handbook}, who, **fields)
        assert answer.status_code == 202, answer.text
        (task,) = self.until_done("shop", who).values()
        assert (task["state"], task["report"]["chunks"]) == ("done", 2), task
        (document,) = self.ask("GET", "/v1/kb/shop/documents", who).json()["data"]
        return document["id"]

    @staticmethod
    def code(answer):
        """An error as clients of language models read it: its status and code."""
        told = answer.json()["error"]
        assert set(told) == {"message", "type", "param", "code"}
        return answer.status_code, told["code"]


@contextlib.contextmanager
def running(config):
    """`Served` of a config."""
    from rag.server.run import server_of

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        server = server_of(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        end = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < end
            time.sleep(0.01)
        served = Served(f"http://127.0.0.1:{listener.getsockname()[1]}")
        try:
            yield served
        finally:
            served.client.close()
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture
def serve(tmp_path, model_server, monkeypatch):
    """`serve(users=..., limits=...)`: a server with such a section, which a model answers for."""
    pytest.importorskip("tantivy", reason="needs the extra 'rag'")
    for name in ("starlette", "python_multipart", "uvicorn"):
        pytest.importorskip(name, reason="needs the extra 'rag-server'")
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as stack:

        def made(knowledge=None, llm=True, chat=None, **server):
            model = {
                "base_url": model_server.url,
                "model": "m",
                "key_env": "MODEL_KEY",
                "first_wait_s": 0.01,
                "tries": 2,
            }
            data = {"name": "t", "knowledge": {"path": "kb", **(knowledge or {})}, "chat": chat}
            data["server"] = {"root": "bases", "log": {"level": "error"}, "drain_s": 5, **server}
            own = stack.enter_context(contextlib.ExitStack())
            served = own.enter_context(running(load_rag({**data, "llm": model} if llm else data)))
            served.stop = own.close
            return served

        made.users, made.keys, made.spoken = USERS, KEYS, spoken
        yield made
