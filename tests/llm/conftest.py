"""Endpoints of the server that says what a test wrote down."""

import importlib.util
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


@pytest.fixture(scope="session")
def tool_cases():
    """By tool how the tests that hold for all of them run it."""
    spec = importlib.util.spec_from_file_location("tool_cases", Path(__file__).with_name("tool_cases.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CASES
