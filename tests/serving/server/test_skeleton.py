"""A request of a known skeleton is answered, or refused, as one that was never seen before."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.server.columns import ask
from serving.server.config import load_server_config
from serving.server.endpoints import infer
from serving.server.http import Refused
from serving.server.models import Loaded
from serving.server.service import Service
from serving.server.skeleton import Skeleton, key_of
from serving.server.tensors import Tensor

FEATURES = [
    {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 50},
    {"type": "raw", "name": "age", "expression": "user:age", "dense_embedding": "linear", "embedding_dim": 4},
    {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 20},
    {"type": "id", "name": "tags", "expression": "item:tags", "num_buckets": 9, "pooling": "mean"},
    {"type": "raw", "name": "price", "expression": "item:price"},
    {"type": "id", "name": "hour", "expression": "context:hour", "num_buckets": 24},
    {
        "type": "sequence",
        "name": "seen",
        "sequence_length": 4,
        "features": [{"type": "id", "name": "item_id", "expression": "item:item_id", "embedding_name": "item_id", "num_buckets": 20}],
    },
]  # fmt: skip
NAMES = ["user_id", "age", "item_id", "tags", "price", "hour"]
GROUPS = {"deep": {"features": NAMES, "sequences": [{"sequence": "seen", "query": {"item_id": "item_id"}}]}}
NUMPY = {"INT64": "int64", "INT32": "int32", "UINT8": "uint8", "FP32": "float32", "FP64": "float64", "BOOL": "bool"}


def rows(count=40):
    random = np.random.default_rng(3)

    def numbers(most):
        return random.integers(0, most, count)

    def lists(most):
        return pa.array([numbers(most)[: k % 4].tolist() for k in range(count)], pa.list_(pa.int64()))

    columns = {"user_id": numbers(50), "age": random.random(count).astype(np.float32), "item_id": numbers(20)}
    columns |= {"tags": lists(9), "price": random.random(count), "hour": numbers(24), "seen__item_id": lists(20)}
    return pa.record_batch(columns)


@pytest.fixture(scope="module")
def served(make_toy, tmp_path_factory):
    path = tmp_path_factory.mktemp("numbers")
    toy = make_toy(
        {"type": "din", "hidden": [8], "embedding_dim": 4, "groups": GROUPS},
        path / "bundle",
        features=FEATURES,
        rows=rows(),
    )
    config = load_server_config({"models": [{"name": "m", "bundle": str(toy.bundle)}]})
    service = Service(config, Path(path, "state"))
    (model,) = service.models
    loaded = Loaded(toy.bundle, config.models[0], config.limits)
    yield SimpleNamespace(service=service, model=model, loaded=loaded)
    loaded.retire()
    service.after.close()


GOOD = {
    "user_id": ("INT64", [1], [7]),
    "age": ("FP32", [1], [0.5]),
    "item_id": ("INT64", [3], [1, 2, 19]),
    "tags": ("INT64", [3, 2], [1, 2, 3, 4, 5, 8]),
    "price": ("FP64", [3], [0.1, 0.2, 0.3]),
    "hour": ("INT32", [1], [5]),
    "seen__item_id": ("INT64", [1, 3], [4, 5, 6]),
}


def body(tensors, binary, **rest):
    inputs, tail = [], b""
    for name, (datatype, shape, data) in tensors.items():
        entry = {"name": name, "datatype": datatype, "shape": shape}
        if binary:
            with np.errstate(over="ignore"):
                raw = np.array(data).astype(NUMPY[datatype]).tobytes()
            entry["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            entry["data"] = data
        inputs.append(entry)
    text = json.dumps({"inputs": inputs, **rest}).encode()
    return text + tail, {infer.LENGTH: str(len(text)).encode()} if binary else {}


def answer(served, request):
    """Scores and counted values, or what is refused, of a body and its headers."""
    content, headers = request
    asked_by = SimpleNamespace(params={"name": "m"}, headers=headers)
    before = served.loaded.predictor.stats
    try:
        asked = infer.asked(served.service, asked_by, content)
        question = asked.read(served.model, served.loaded)
        written = asked.write(served.model, served.loaded, ask(served.loaded, question))
    except Refused as refused:
        return refused.status, refused.reason, str(refused), refused.column, refused.row
    after = served.loaded.predictor.stats
    new = [{k: n - old.get(k, 0) for k, n in now.items() if n != old.get(k, 0)} for old, now in (
        (before.missing, after.missing), (before.unknown, after.unknown))]  # fmt: skip
    return written.body, written.headers, new, asked.rows


def forget(served):
    for known in (served.service.heads, served.service.skeletons):
        known._values.clear()


def both_ways(served, tensors, binary, like=None, **rest):
    """The answers of a server that never saw such a request, and of one that did."""
    request = body(tensors, binary, **rest)
    forget(served)
    fresh = answer(served, request)
    answer(served, body(like or tensors, binary, **rest))
    return fresh, answer(served, request)


INTEGERS = st.integers(-3, 60) | st.integers(-(2**66), 2**66)
FLOATS = st.floats(-5, 5) | st.sampled_from([float("inf"), float("nan"), 1e300]) | st.integers(-9, 9)
ODD = st.sampled_from([None, True, "1", [1], 1.5, 2**80])


@st.composite
def changed(draw, binary):
    """The good request with other values, and now and then another type, shape or name."""
    tensors = {}
    for name, (datatype, shape, data) in GOOD.items():
        numbers = FLOATS if datatype[0] == "F" else INTEGERS if not binary else st.integers(-(2**31), 2**31 - 1)
        odd = draw(st.integers(0, 40)) == 0 and not binary
        values = [draw(numbers | ODD if odd else numbers) for _ in data] if draw(st.booleans()) else data
        tensors[name] = (datatype, shape, values)
    return tensors


@settings(max_examples=60)
@given(data=st.data(), binary=st.booleans())
def test_known_skeletons_are_answered_as_new_ones(served, data, binary):
    fresh, known = both_ways(served, data.draw(changed(binary)), binary, like=GOOD)
    assert known == fresh


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"age": ("FP32", [1], [float("nan")])},
        {"item_id": ("INT64", [3], [1, -7, 900])},
        {"item_id": ("BYTES", [3], ["1", "2", "3"])},
        {"item_id": ("BOOL", [3], [True, False, True])},
        {"item_id": ("UINT8", [3], [1, 2, 3])},
        {"item_id": ("INT64", [2], [1, 2])},
        {"item_id": ("INT64", [3, 1], [1, 2, 3])},
        {"tags": ("INT64", [3, 0], [])},
        {"tags": ("INT64", [3, 2, 1], [1, 2, 3, 4, 5, 8])},
        {"price": ("INT64", [3], [1, 2, 3])},
        {"price": ("BOOL", [3], [True, False, True])},
        {"other": ("FP32", [3], [1.0, 2.0, float("nan")])},
        {"user_id": ("INT64", [3], [7, 8, 9])},
    ],
    ids=lambda change: "-".join([f"{k}-{v[0]}-{v[1]}" for k, v in change.items()]) or "good",
)
def test_unusual_tensors_are_answered_alike_each_time(served, change, binary):
    if binary and any(kind == "BYTES" for kind, _, _ in change.values()):
        pytest.skip("texts stand behind their lengths; their requests are never known")
    fresh, known = both_ways(served, GOOD | change, binary)
    assert known == fresh


def test_a_good_request_is_known_and_gives_scores(served):
    for binary, kept in ((True, served.service.heads), (False, served.service.skeletons)):
        fresh, known = both_ways(served, GOOD, binary, parameters={"binary_data_output": True}, id="a")
        assert len(kept) == 1
        assert known == fresh
        assert b'"shape":[3]' in known[0]


@pytest.mark.parametrize("shape", [[3.0], [True], ["3"], 3], ids=str)
def test_a_shape_that_only_looks_alike_is_refused(served, shape):
    alike = {**GOOD, "user_id": ("INT64", shape if shape == [True] else [1], [7])}
    if shape != [True]:
        alike["item_id"] = ("INT64", shape, [1, 2, 19])
    fresh, known = both_ways(served, alike, binary=False, like=GOOD)
    assert fresh[0] == 400
    assert known == fresh


def test_a_request_whose_bytes_do_not_fill_its_header_is_refused_when_known(served):
    content, headers = body(GOOD, binary=True)
    assert len(answer(served, (content, headers))) == 4
    for wrong in (content + b"\0", content[:-1]):
        assert answer(served, (wrong, headers))[0] == 400


def test_other_wishes_of_a_known_request_are_fulfilled(served):
    answer(served, body(GOOD, binary=False))
    named = json.loads(answer(served, body(GOOD, binary=False, id="mine"))[0])
    assert named["id"] == "mine"
    assert answer(served, body(GOOD, binary=False, outputs=[{"name": "none"}]))[1] == "unknown_output"
    assert answer(served, body(GOOD, binary=False, id=7))[1] == "json"


def test_rows_side_by_side_are_known_too(served):
    tiled = {
        name: (kind, [3, *shape[1:]], data * 3 if shape[0] == 1 else data) for name, (kind, shape, data) in GOOD.items()
    }
    for binary in (False, True):
        fresh, known = both_ways(served, tiled, binary)
        assert known == fresh
        assert len(fresh) == 4


def test_the_key_tells_types_of_numbers_apart():
    entry = {"name": "a", "datatype": "INT64", "shape": [1], "data": [1]}
    keys = {key_of([entry | {"shape": shape}]) for shape in ([1], [1.0], [True], ["1"])}
    assert len(keys) == 4
    assert key_of([3]) is None
    assert key_of({}) == key_of([])


def test_nothing_is_kept_of_very_many_lists(served):
    for rows, kept in ((100, True), (5000, False)):
        shapes = {
            name: (kind, (rows, *shape[1:]) if shape[0] == 3 else tuple(shape))
            for name, (kind, shape, _) in GOOD.items()
        }
        tensors = [Tensor(name, kind, shape, None) for name, (kind, shape) in shapes.items()]
        assert (Skeleton(tensors).frame(served.model, served.loaded) is not None) is kept


def test_bytes_of_a_skeleton_are_counted():
    tensor = SimpleNamespace(name="a", datatype="INT64", shape=(2, 3), rows=2)
    assert Skeleton([tensor]).size == 48
