"""A small knowledge base, and a model that plays the one who answers and the one who judges."""

import json

import pytest

from easyrec.llm.client import Client, Endpoint


def kind_of(body):
    """What the model is asked for: the name of the schema, or `answer`."""
    form = body.get("response_format")
    return form["json_schema"]["name"] if form else "answer"


def lines_of(body):
    """The objects that a judge is shown."""
    return [json.loads(line) for line in body["messages"][-1]["content"].split("\n")]


@pytest.fixture
def config(tmp_path, model_server):
    """Makes configs of a system whose model is the scripted server."""
    from rag.config import load_rag

    def make(**more):
        llm = {"base_url": model_server.url, "model": "m", "key_env": "MODEL_KEY", "first_wait_s": 0.01}
        told = {"knowledge": {"path": str(tmp_path / "kb")}, "llm": llm, "search": {"k": 3}}
        return load_rag({**told, **more})

    return make


@pytest.fixture
def judge(model_server):
    """Makes judges."""
    from easyrec.llm.judging import Judge

    held = []

    def make(votes=1):
        endpoint = Endpoint(base_url=model_server.url, model="m", key_env="MODEL_KEY", first_wait_s=0.01)
        held.append(Client(endpoint))
        return Judge(held[-1], votes)

    yield make
    for client in held:
        client.close()
