"""Endpoints of the server that says what a test wrote down."""

import importlib.util
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
