"""Whatever is sent, the answer is one of the protocol's errors and never a 500."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.server.app import App
from serving.server.config import load_server_config
from serving.server.service import Service

NAMES = ("user_id", "level", "item_id", "cate", "tags", "price", "scene", "score", "click_seq", "click_seq__item_id")
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
)
ROW = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=9)
QUESTIONS = st.fixed_dictionaries(
    {}, optional={"user": ROW | VALUES, "items": st.lists(ROW, max_size=3) | ROW | VALUES, "context": ROW | VALUES}
)
TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NAMES),
        "datatype": st.sampled_from(["BYTES", "INT64", "FP32", "FP64", "BOOL", "UINT8", "FP16", "X"]),
        "shape": st.lists(st.integers(-1, 4), max_size=3) | VALUES,
    },
    optional={"data": st.lists(VALUES, max_size=5) | VALUES, "parameters": VALUES},
)
INFER = st.fixed_dictionaries({"inputs": st.lists(TENSOR, max_size=10)}, optional={"outputs": VALUES, "id": VALUES})


@pytest.fixture(scope="module")
def post(toys, tmp_path_factory):
    """Sends a body to an application that takes everything that can be read."""
    bundle = toys("deepfm").bundle
    lenient = {"bad_values": "default", "missing_columns": "default", "unknown_columns": "ignore"}
    models = [{"name": "ctr", "bundle": str(bundle)}, {"name": "lenient", "bundle": str(bundle), **lenient}]
    loop = asyncio.new_event_loop()

    async def start():
        service = Service(load_server_config({"models": models}), tmp_path_factory.mktemp("state"))
        await service.start()
        while not service.admission.open:
            await asyncio.sleep(0.01)
        return service, App(service)

    service, app = loop.run_until_complete(start())

    def send(path, body, headers=()):
        sent = []

        async def receive():
            return {"type": "http.request", "body": body}

        async def answer(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers)}
        loop.run_until_complete(app(scope, receive, answer))
        return sent[0]["status"], sent[1]["body"]

    yield send
    loop.run_until_complete(service.stop())
    loop.close()


def fits(status, body):
    assert status < 500, body
    assert status == 200 or json.loads(body)["error"]
    assert b"Traceback" not in body


@given(st.sampled_from(["ctr", "lenient"]), QUESTIONS)
def test_any_question_is_answered_or_refused(post, model, question):
    fits(*post(f"/models/{model}/predict", json.dumps(question).encode()))


@given(st.sampled_from(["ctr", "lenient"]), INFER, st.binary(max_size=20), st.integers(-1, 600) | st.none())
def test_any_tensors_are_answered_or_refused(post, model, question, tail, length):
    text = json.dumps(question).encode()
    headers = [] if length is None else [(b"inference-header-content-length", str(length).encode())]
    fits(*post(f"/v2/models/{model}/infer", text + tail, headers))
    exact = [(b"inference-header-content-length", str(len(text)).encode())]
    fits(*post(f"/v2/models/{model}/infer", text + tail, exact))


@given(st.binary(max_size=80))
@settings(max_examples=100)
def test_any_bytes_are_refused(post, body):
    fits(*post("/predict", body))


@given(st.lists(st.sampled_from(["v2", "models", "ctr", "..", "%2e", "infer", "versions", "", "predict", "ü"]), max_size=7))
def test_any_path_is_answered_or_refused(post, parts):
    fits(*post("/" + "/".join(parts), b"{}"))
