"""A server in processes of its own on 127.0.0.1, and an application in this one."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec

import pytest
import yaml

MISSING = [name for name in ("uvicorn", "orjson", "httpx") if find_spec(name) is None]


class Skipped(pytest.Module):
    """A file whose tests cannot run."""

    def collect(self):
        pytest.skip(
            f"needs {', '.join(MISSING)}, as the extras 'serving' and 'dev' bring them", allow_module_level=True
        )


def pytest_pycollect_makemodule(module_path, parent):
    """Skip all files here where something is missing."""
    return Skipped.from_parent(parent, path=module_path) if MISSING else None


USER = {
    "user_id": "u1",
    "level": 2,
    "click_seq": [{"item_id": "i1", "cate": "toy"}, {"item_id": "i2", "cate": "car"}, {"item_id": "i3", "cate": None}],
}
ITEM = {"item_id": "i1", "cate": "toy", "tags": ["t1", "t2"], "price": 3.5, "score": 0.25}
ITEMS = [ITEM, {**ITEM, "item_id": "i2", "cate": "book", "tags": []}, {**ITEM, "item_id": "i3", "price": None}]
CONTEXT = {"scene": "home"}
TOKEN, ADMIN = "a token of the tests", "an admin's token of the tests"


class Running:
    """A server that runs."""

    def __init__(self, folder, config, *words, **env):
        file = folder / f"{'_'.join(words)}.yaml"
        file.write_text(yaml.safe_dump(config))
        self.lines = []
        command = [sys.executable, "-m", "easyrec", *words, "-c", str(file)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **env})
        self._heard = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        scheme = "https" if "tls" in config else "http"
        self.url = f"{scheme}://127.0.0.1:{self.event('listening')['port']}"

    def _listen(self):
        for line in self.process.stderr:
            with self._heard:
                self.lines.append(line)
                self._heard.notify_all()
        with self._heard:
            self.lines.append(None)
            self._heard.notify_all()

    def events(self, name):
        found = [json.loads(line) for line in self.lines if line and line.startswith("{")]
        return [event for event in found if event["event"] == name]

    def event(self, name, count=1, seconds=90):
        """The event of that name, waited for."""
        with self._heard:
            ended = lambda: bool(self.lines) and self.lines[-1] is None  # noqa: E731
            self._heard.wait_for(lambda: len(self.events(name)) >= count or ended(), seconds)
        found = self.events(name)
        heard = len(found) >= count
        assert heard, "".join(line or "" for line in self.lines)
        return found[count - 1]

    def workers(self):
        """The processes that answer."""
        text = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        ).stdout
        return [int(pid) for pid in text.split()]

    def stop(self):
        """The exit code, after SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._listener.join(10)
            self.process.stderr.close()


@pytest.fixture
def serving(tmp_path):
    """Starts servers; they are stopped at the end."""
    started = []

    def start(**config):
        folder = tmp_path / f"server{len(started)}"
        folder.mkdir()
        started.append(Running(folder, {"port": 0, **config}, "serve"))
        started[-1].event("ready", config.get("processes", 1))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def running():
    """The class of servers that run."""
    return Running


@contextlib.asynccontextmanager
async def application(state, **config):
    """The ASGI application of a config, started; and a client of it."""
    import httpx

    from serving.server.app import App
    from serving.server.config import load_server_config
    from serving.server.service import Service

    service = Service(load_server_config(config), state)
    app = App(service)
    await service.start()
    try:
        for _ in range(3000):
            if service.admission.open:
                break
            await asyncio.sleep(0.01)
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            client.service = service
            yield client
    finally:
        await service.stop()


@pytest.fixture
def with_app(tmp_path):
    """Runs a coroutine function over the application of a config."""

    def run(work, **config):
        async def go():
            async with application(tmp_path / "state", **config) as client:
                return await work(client)

        return asyncio.run(go())

    return run


@pytest.fixture(scope="session")
def other_toy(make_toy, tmp_path_factory):
    """A bundle of the same features with other weights than `toys("deepfm")`."""
    model = {"type": "deepfm", "hidden": [8], "embedding_dim": 4}
    return make_toy(model, tmp_path_factory.mktemp("other") / "bundle")


@pytest.fixture
def until():
    """Waits until something holds."""

    def wait(holds, seconds=120):
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "it never came to hold"
            time.sleep(0.02)

    return wait


@pytest.fixture
def copied(tmp_path):
    """Copies a bundle, so that it may be spoilt."""

    def copy(bundle, name="copy"):
        return shutil.copytree(bundle, tmp_path / name)

    return copy


@pytest.fixture
def request_parts():
    return USER, ITEMS, CONTEXT
