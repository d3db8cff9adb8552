"""What the endpoints answer, over the application itself."""

import asyncio
import gzip
import json
import os
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from serving import Predictor
from serving.server.endpoints.metrics import metrics as metrics_page
from serving.server.metrics import Board, Metrics

USER = {
    "user_id": "u1",
    "level": 2,
    "click_seq": [{"item_id": "i1", "cate": "toy"}, {"item_id": "i2", "cate": "car"}, {"item_id": "i3", "cate": "toy"}],
}
ITEM = {"item_id": "i1", "cate": "toy", "tags": ["t1", "t2"], "price": 3.5, "score": 0.25}
ITEMS = [ITEM, {**ITEM, "item_id": "i2", "cate": "book"}, {**ITEM, "item_id": "i3", "price": 20.0}]
CONTEXT = {"scene": "home"}
BODY = {"user": USER, "items": ITEMS, "context": CONTEXT}
TYPES = {"level": "INT64", "price": "FP64", "score": "FP32"}
NUMPY = {"INT64": "<i8", "FP64": "<f8", "FP32": "<f4"}


def columns():
    """The request as columns, each a nested list."""
    user = {"user_id": ["u1"], "level": [2]}
    user |= {f"click_seq__{key}": [[step[key] for step in USER["click_seq"]]] for key in ("item_id", "cate")}
    items = {name: [item[name] for item in ITEMS] for name in ITEM}
    return {**user, **items, "scene": ["home"]}


def shape(value):
    return [len(value), *(shape(value[0]) if isinstance(value[0], list) else [])]


def flat(value):
    return [one for part in value for one in (flat(part) if isinstance(part, list) else [part])]


def json_tensors():
    return [
        {"name": name, "datatype": TYPES.get(name, "BYTES"), "shape": shape(value), "data": value}
        for name, value in columns().items()
    ]


def encoded(datatype, values):
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in values)
    return np.array(values, NUMPY[datatype]).tobytes()


def binary_request(tensors, **rest):
    parts = [encoded(tensor["datatype"], flat(tensor.pop("data"))) for tensor in tensors]
    for tensor, part in zip(tensors, parts, strict=True):
        tensor["parameters"] = {"binary_data_size": len(part)}
    head = json.dumps({"inputs": tensors, **rest}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return {"content": b"".join((head, *parts)), "headers": headers}


@pytest.fixture(scope="module")
def bundle(toys):
    return toys("deepfm").bundle


@pytest.fixture(scope="module")
def expected(bundle):
    with Predictor.load(bundle) as predictor:
        return predictor.predict(USER, ITEMS, CONTEXT)["click"]


@pytest.fixture
def ask(with_app, bundle):
    """Answers of a server of one bundle, to several requests."""

    def answers(*requests, **config):
        model = {"name": "ctr", "bundle": str(bundle), **config.pop("model", {})}

        async def work(client):
            return [await client.request(method, path, **options) for method, path, options in requests]

        return with_app(work, models=[model], **config)

    return answers


def test_every_form_of_a_request_answers_what_the_predictor_says(ask, expected):
    by_column = {name: [item[name] for item in ITEMS] for name in ITEM}
    plain, named, turned, tensors, binary, asked_binary, wanted = ask(
        ("POST", "/predict", {"json": BODY}),
        ("POST", "/models/ctr/predict", {"json": BODY}),
        ("POST", "/predict", {"json": {**BODY, "items": by_column, "model": "ctr"}}),
        ("POST", "/v2/models/ctr/infer", {"json": {"inputs": json_tensors(), "id": "7"}}),
        ("POST", "/v2/models/ctr/infer", binary_request(json_tensors())),
        (
            "POST",
            "/v2/models/ctr/infer",
            binary_request(json_tensors(), parameters={"binary_data_output": True}),
        ),
        ("POST", "/v2/models/ctr/infer", {"json": {"inputs": json_tensors(), "outputs": [{"name": "click"}]}}),
    )
    for answer in (plain, named, turned):
        assert answer.status_code == 200, answer.text
        assert np.array_equal(np.float32(answer.json()["scores"]["click"]), expected)
    for answer in (tensors, binary, wanted):
        (output,) = answer.json()["outputs"]
        assert (output["name"], output["datatype"], output["shape"]) == ("click", "FP32", [3])
        assert np.array_equal(np.float32(output["data"]), expected)
    assert tensors.json()["id"] == "7"
    length = int(asked_binary.headers["inference-header-content-length"])
    (output,) = json.loads(asked_binary.content[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": 12}
    assert np.array_equal(np.frombuffer(asked_binary.content[length:], "<f4"), expected)


def test_rows_side_by_side_are_scored_as_rows(ask, bundle):
    rows = {name: value * 3 if len(value) == 1 else value for name, value in columns().items()}
    tensors = [{"name": n, "datatype": TYPES.get(n, "BYTES"), "shape": shape(v), "data": v} for n, v in rows.items()]
    (answer,) = ask(("POST", "/v2/models/ctr/infer", {"json": {"inputs": tensors}}))
    with Predictor.load(bundle) as predictor:
        scores = predictor.predict_batch(rows)["click"]
    assert np.array_equal(np.float32(answer.json()["outputs"][0]["data"]), scores)


def test_ready_made_inputs_are_scored(ask, bundle, toy_rows):
    with Predictor.load(bundle) as predictor:
        inputs = predictor.inputs(toy_rows(5))
        scores = predictor.program(inputs)["click"]
    tensors = [
        {"name": n, "datatype": "FP32", "shape": list(a.shape), "data": a.reshape(-1).tolist()}
        for n, a in inputs.items()
    ]
    short = [{**tensors[0], "shape": [4, 64], "data": tensors[0]["data"][: 4 * 64]}, *tensors[1:]]
    good, uneven, lacking, metadata = ask(
        ("POST", "/v2/models/ctr/infer", {"json": {"inputs": tensors}}),
        ("POST", "/v2/models/ctr/infer", {"json": {"inputs": short}}),
        ("POST", "/v2/models/ctr/infer", {"json": {"inputs": tensors[1:]}}),
        ("GET", "/v2/models/ctr", {}),
        model={"inputs": "tensors"},
    )
    assert np.array_equal(np.float32(good.json()["outputs"][0]["data"]), scores)
    assert (uneven.status_code, uneven.json()["column"]) == (400, "emb:deep")
    assert (lacking.status_code, lacking.json()["column"]) == (400, "emb:deep")
    assert {tensor["name"] for tensor in metadata.json()["inputs"]} == set(inputs)


def test_metadata_says_what_is_served(ask):
    server, model, live, ready, model_ready, description = ask(
        ("GET", "/v2", {}),
        ("GET", "/v2/models/ctr", {}),
        ("GET", "/v2/health/live", {}),
        ("GET", "/v2/health/ready", {}),
        ("GET", "/v2/models/ctr/ready", {}),
        ("GET", "/openapi.json", {}),
    )
    assert server.json()["extensions"] == ["binary_tensor_data"]
    inputs = {tensor["name"]: (tensor["datatype"], tensor["shape"]) for tensor in model.json()["inputs"]}
    assert inputs["user_id"] == ("BYTES", [1])
    assert inputs["item_id"] == ("BYTES", [-1])
    assert inputs["price"] == ("FP64", [-1])
    assert inputs["click_seq__item_id"] == ("BYTES", [1, -1])
    assert model.json()["outputs"] == [{"name": "click", "datatype": "FP32", "shape": [-1]}]
    assert {answer.status_code for answer in (live, ready, model_ready)} == {200}
    assert "/v2/models/{name}/infer" in description.json()["paths"]


def tensor(name, /, **changes):
    """The tensors of a good request, one of them changed."""
    return {"inputs": [{**one, **changes} if one["name"] == name else one for one in json_tensors()]}


def lacking(*path):
    body = json.loads(json.dumps(BODY))
    place = body
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return body


INFER = "/v2/models/ctr/infer"
REFUSED = {
    "no-json": ("/predict", b"{", 400, "json", None),
    "not-utf8": ("/predict", b'{"items": ["\xff"]}', 400, "json", None),
    "nan": ("/predict", b'{"items": [{"price": NaN}]}', 400, "json", None),
    "repeated-key": ("/predict", b'{"items": [], "items": []}', 400, "repeated_key", None),
    "repeated-inside": ("/predict", b'{"items": [{"price": 1, "a:": 2, "price": 3}]}', 400, "repeated_key", None),
    "too-deep": ("/predict", b"[" * 100_000, 400, "json_depth", None),
    "too-deep-inside": ("/predict", b'{"items": ' + b'{"a":' * 20 + b"1" + b"}" * 20 + b"}", 400, "json_depth", None),
    "no-items": ("/predict", lacking("items"), 400, "json", "items"),
    "unknown-key": ("/predict", {**BODY, "itmes": []}, 400, "unknown_key", "itmes"),
    "unknown-user-column": ("/predict", {**BODY, "user": {**USER, "levl": 1}}, 400, "unknown_column", "levl"),
    "unknown-item-column": (
        "/predict",
        {**BODY, "items": [ITEM, {**ITEM, "prize": 1}]},
        400,
        "unknown_column",
        "prize",
    ),
    "wrong-side": ("/predict", {**BODY, "context": {**CONTEXT, "price": 1}}, 400, "unknown_column", "price"),
    "missing-column": ("/predict", lacking("user", "level"), 400, "data", "level"),
    "text-for-number": ("/predict", {**BODY, "items": [ITEM, {**ITEM, "price": "dear"}]}, 400, "data", "price"),
    "object-for-number": ("/predict", {**BODY, "items": [{**ITEM, "price": {"a": [1]}}]}, 400, "data", "price"),
    "list-and-text": ("/predict", {**BODY, "items": [ITEM, {**ITEM, "tags": "t1"}]}, 400, "data", "tags"),
    "unknown-in-the-last-item": (
        "/predict",
        {**BODY, "items": [ITEM] * 3 + [{"prize": 1, **ITEM}]},
        400,
        "unknown_column",
        "prize",
    ),
    "wrong-side-item": ("/predict", {**BODY, "items": [{**ITEM, "level": 2}]}, 400, "unknown_column", "level"),
    "item-no-object": ("/predict", {**BODY, "items": [ITEM, 3]}, 400, "data", "items"),
    "uneven-columns": ("/predict", {**BODY, "items": {"item_id": ["a"], "price": []}}, 400, "shape", "items"),
    "unknown-model": ("/models/cvr/predict", BODY, 404, "unknown_model", None),
    "model-as-path": ("/models/..%2f..%2fetc/predict", BODY, 404, None, None),
    "unknown-version": ("/predict", {**BODY, "version": "3"}, 404, "unknown_version", None),
    "unknown-path": ("/predictt", BODY, 404, "unknown_path", None),
    "tensor-shape": (INFER, tensor("price", shape=[2]), 400, "tensor", "price"),
    "tensor-negative-shape": (INFER, tensor("price", shape=[-3]), 400, "tensor", "price"),
    "tensor-huge-shape": (INFER, tensor("price", shape=[10**18]), 400, "tensor", "price"),
    "tensor-huge-width": (INFER, tensor("tags", shape=[0, 10**18], data=[]), 400, "tensor", "tags"),
    "tensor-datatype": (INFER, tensor("price", datatype="FP99"), 400, "tensor", "price"),
    "tensor-other-type": (INFER, tensor("cate", datatype="FP32", data=[1.0, 2.0, 3.0]), 400, "tensor", "cate"),
    "tensor-text": (INFER, tensor("price", data=["1", "2", "3"]), 400, "tensor", "price"),
    "tensor-null": (INFER, tensor("price", data=[1.0, None, 3.0]), 400, "tensor", "price"),
    "tensor-beyond-type": (INFER, tensor("score", data=[1e300, 0, 0]), 400, "not_finite", "score"),
    "tensor-ragged": (INFER, tensor("tags", data=[["a"], ["b", "c"], ["d"]]), 400, "tensor", "tags"),
    "tensor-rows": (INFER, tensor("price", shape=[2], data=[1.0, 2.0]), 400, "shape", "price"),
    "tensor-rows-of-user": (INFER, tensor("level", shape=[3], data=[1, 2, 3]), 400, "shape", "level"),
    "tensor-flat-history": (
        INFER,
        tensor("click_seq__cate", shape=[3], data=["a", "b", "c"]),
        400,
        "shape",
        "click_seq__cate",
    ),
    "tensor-without-header": (
        INFER,
        tensor("price", parameters={"binary_data_size": 24}),
        400,
        "tensor",
        "price",
    ),
    "shared-memory-in": (INFER, tensor("price", parameters={"shared_memory_region": "a"}), 400, "tensor", "price"),
    "shared-memory-out": (
        INFER,
        {**tensor("price"), "outputs": [{"name": "click", "parameters": {"shared_memory_region": "a"}}]},
        400,
        "tensor",
        "click",
    ),
    "tensor-unknown": (INFER, tensor("price", name="prize"), 400, "unknown_column", "prize"),
    "tensor-twice": (INFER, tensor("price", name="item_id"), 400, "tensor", "item_id"),
    "tensor-none": (INFER, {"inputs": []}, 400, "json", "inputs"),
    "unknown-output": (INFER, {**tensor("price"), "outputs": [{"name": "clicks"}]}, 400, "unknown_output", "clicks"),
}


def test_what_is_wrong_is_refused_and_named(ask):
    requests = [
        ("POST", path, {"content": body} if isinstance(body, bytes) else {"json": body})
        for path, body, *_ in REFUSED.values()
    ]
    found = dict(zip(REFUSED, ask(*requests), strict=True))
    for name, (_, _, status, reason, column) in REFUSED.items():
        answer = found[name]
        assert answer.status_code == status, (name, answer.text)
        assert reason is None or answer.json()["reason"] == reason, (name, answer.text)
        assert column is None or answer.json().get("column") == column, (name, answer.text)
        assert answer.json()["error"], name


def test_binary_tensors_must_fill_their_bytes(ask):
    good = binary_request(json_tensors())
    head = int(good["headers"]["Inference-Header-Content-Length"])
    long = {**good, "content": good["content"] + b"x"}
    short = {**good, "content": good["content"][:-3]}
    lengths = {**good, "content": good["content"][:head] + b"\xff" * (len(good["content"]) - head)}
    beyond = {**good, "headers": {"Inference-Header-Content-Length": "999999999"}}
    for answer in ask(*(("POST", INFER, request) for request in (long, short, lengths, beyond))):
        assert answer.status_code == 400, answer.text


def test_limits_are_kept(ask, bundle):
    large, many, packed = ask(
        ("POST", "/predict", {"content": b" " * 5000}),
        ("POST", "/predict", {"json": {"user": {}, "items": [{}] * 5}}),
        ("POST", "/predict", {"content": gzip.compress(b" " * 100_000), "headers": {"content-encoding": "gzip"}}),
        limits={"body_bytes": 4096, "items": 4},
    )
    assert (large.status_code, large.json()["reason"]) == (413, "body_bytes")
    assert (many.status_code, many.json()["column"]) == (400, "items")
    assert packed.status_code == 413


def test_an_upgrade_is_refused_since_it_would_lose_the_body(ask):
    headers = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c"}
    (answer,) = ask(("POST", "/predict", {"json": BODY, "headers": headers}))
    assert (answer.status_code, answer.json()["reason"]) == (400, "upgrade")


def test_packed_bodies_are_unpacked(ask, expected):
    text = json.dumps(BODY).encode()
    answers = ask(
        ("POST", "/predict", {"content": gzip.compress(text), "headers": {"content-encoding": "gzip"}}),
        ("POST", "/predict", {"content": zlib.compress(text), "headers": {"content-encoding": "deflate"}}),
        ("POST", "/predict", {"content": gzip.compress(text)[:-9], "headers": {"content-encoding": "gzip"}}),
        ("POST", "/predict", {"content": text, "headers": {"content-encoding": "br"}}),
    )
    assert [answer.status_code for answer in answers] == [200, 200, 400, 415]
    assert np.array_equal(np.float32(answers[0].json()["scores"]["click"]), expected)


def test_defaults_stand_in_where_the_config_says_so(ask, bundle):
    body = {"user": {"user_id": "u1", "levl": 3}, "items": [{"item_id": "i1", "price": "dear"}], "context": {}}
    (answer,) = ask(
        ("POST", "/predict", {"json": body}),
        model={"bad_values": "default", "missing_columns": "default", "unknown_columns": "ignore"},
    )
    with Predictor.load(bundle, bad_values="default", missing_columns="default") as predictor:
        scores = predictor.predict(body["user"], body["items"], body["context"])["click"]
    assert np.array_equal(np.float32(answer.json()["scores"]["click"]), scores)


def test_an_item_may_be_forbidden_to_come_twice(ask):
    twice, once, no_object = ask(
        ("POST", "/predict", {"json": {**BODY, "items": [ITEM, ITEM]}}),
        ("POST", "/predict", {"json": BODY}),
        ("POST", "/predict", {"json": {**BODY, "items": [ITEM, 3]}}),
        model={"unique": "item_id", "unknown_columns": "ignore"},
    )
    assert (no_object.status_code, no_object.json()["row"]) == (400, 1)
    assert (twice.status_code, twice.json()["column"], twice.json()["row"]) == (400, "item_id", 1)
    assert once.status_code == 200


def test_tokens_are_asked_for_and_never_told(ask):
    auth = {"tokens": ["a token of the tests"], "admin": ["an admin's token of the tests"]}
    token = {"authorization": "Bearer a token of the tests"}
    admin = {"authorization": "Bearer an admin's token of the tests"}
    answers = ask(
        ("POST", "/predict", {"json": BODY}),
        ("POST", "/predict", {"json": BODY, "headers": {"authorization": "Bearer another one"}}),
        ("POST", "/predict", {"json": BODY, "headers": token}),
        ("POST", "/models/ctr/reload", {"headers": token}),
        ("POST", "/models/ctr/reload", {"headers": admin}),
        ("GET", "/v2/models/ctr", {}),
        ("GET", "/v2/health/ready", {}),
        ("GET", "/metrics", {}),
        auth=auth,
    )
    assert [answer.status_code for answer in answers] == [401, 401, 200, 403, 200, 401, 200, 200]
    assert answers[0].headers["www-authenticate"] == "Bearer"
    assert not any("of the tests" in answer.text for answer in answers)


def test_without_an_admins_token_nobody_may_reload(ask):
    (answer,) = ask(("POST", "/models/ctr/reload", {}))
    assert answer.status_code == 403


def test_metrics_count_what_was_answered(ask):
    *_, answer = ask(
        ("POST", "/predict", {"json": BODY}),
        ("POST", "/predict", {"json": {**BODY, "user": {**USER, "user_id": None}}}),
        ("POST", "/predict", {"content": b"{"}),
        ("GET", "/metrics", {}),
    )
    lines = answer.text.splitlines()
    assert 'easyrec_requests_total{model="ctr",endpoint="/predict",status="200"} 2' in lines
    assert 'easyrec_requests_total{model="",endpoint="/predict",status="400"} 1' in lines
    assert 'easyrec_refused_total{reason="json"} 1' in lines
    assert 'easyrec_values_total{model="ctr",kind="missing",name="user_id"} 1' in lines
    assert 'easyrec_stage_seconds_count{model="ctr",stage="score"} 2' in lines
    assert any(line.startswith('easyrec_items_total{model="ctr"') and line.endswith(" 6") for line in lines)


def test_what_a_process_told_is_not_lost_with_it_and_a_full_disk_ends_no_numbers(tmp_path, monkeypatch, caplog):
    board, metrics = Board(tmp_path), Metrics()
    metrics.add("easyrec_items_total", 5)
    service = SimpleNamespace(board=board, numbers=metrics.state)
    text = asyncio.run(metrics_page(service, None)).body.decode()
    assert "easyrec_items_total 5" in text
    kept = json.loads((tmp_path / f"{os.getpid()}.json").read_bytes())  # what others tell when it was killed
    assert ["easyrec_items_total", [], 5] in kept["counters"]

    def refuses(*_):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuses)
    metrics.add("easyrec_items_total", 2)
    for _ in range(3):
        assert "easyrec_items_total 7" in asyncio.run(metrics_page(service, None)).body.decode()
    assert [one.message for one in caplog.records] == ["the numbers cannot be shared"]
