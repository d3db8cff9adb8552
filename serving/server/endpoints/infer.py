"""`POST /v2/models/{name}/infer`: the Open Inference Protocol, with tensors in JSON or behind it as bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from serving.server import tensors
from serving.server.columns import Question, Scores
from serving.server.endpoints import Route
from serving.server.http import Answer, Refused, Request, dump
from serving.server.json_body import parse
from serving.server.models import Loaded, Model
from serving.server.service import Asked, Service
from serving.server.skeleton import MOST_BYTES, Skeleton, key_of, lists_of, skeleton_of
from serving.server.tensors import Tensor, question

LENGTH = b"inference-header-content-length"
EXTENSIONS = frozenset({"classification", "shared_memory_region"})
"""Parameters of other servers that change what is read or answered, so that they cannot be passed over."""


async def infer(service: Service, request: Request) -> Answer:
    """Score tensors."""
    return await service.score(request, lambda body: asked(service, request, body))


def asked(service: Service, request: Request, body: bytes) -> Asked:
    """Whom a body asks what.

    Raises:
        Refused: It is not what the protocol says.
    """
    text, binary = _parts(request, body)
    head = service.heads.get(text) if binary else None
    if head is not None and head.skeleton.size == len(binary):
        return _asked(request, head.wish, head.skeleton.rows, _Known(service, head.skeleton, text, binary).read)
    data = _object(service, text)
    entries: Any = data.get("inputs")
    key = None if binary else key_of(entries)
    skeleton = None if key is None else service.skeletons.get(key)
    if skeleton is not None:
        lists = lists_of(entries)
        return _asked(request, _wish(data), skeleton.rows, _Known(service, skeleton, text, binary, lists).read)
    given = _tensors(service, data, binary)
    wish = _wish(data)
    _remember(service, text, key, given, wish, entries)
    return _asked(request, wish, max(t.rows for t in given), lambda model, loaded: question(model, loaded, given))


class _Wish(NamedTuple):
    """What is wanted of the scores: the outputs, each as bytes or not; whether the others as bytes; the request's name."""

    outputs: Mapping[str, bool | None]
    binary: bool
    identity: str


class Head(NamedTuple):
    """What the JSON text of a request says whose tensors all stand behind it."""

    skeleton: Skeleton
    wish: _Wish


class _Known(NamedTuple):
    """A request of a known skeleton, its tensors' numbers in `lists`, or else in `binary`."""

    service: Service
    skeleton: Skeleton
    text: bytes
    binary: memoryview
    lists: Sequence[Any] | None = None

    def read(self, model: Model, loaded: Loaded) -> Question:
        """What it asks."""
        frame = self.skeleton.frame(model, loaded)
        if frame is not None:
            found = frame.of_bytes(self.binary) if self.lists is None else frame.of_lists(self.lists)
            if found is not None:
                return found
        return question(model, loaded, _tensors(self.service, _object(self.service, self.text), self.binary))


def _remember(
    service: Service, text: bytes, key: bytes | None, given: list[Tensor], wish: _Wish, entries: list[Any]
) -> None:
    """Know requests like this one from now on, where their tensors are numbers alone."""
    if len(key or text) > MOST_BYTES:
        return
    skeleton = skeleton_of(given)
    if skeleton is None:
        return
    if key is None and not any("data" in entry for entry in entries):
        service.heads.put(text, Head(skeleton, wish))
    elif key is not None and not any(entry.get("parameters") for entry in entries):
        service.skeletons.put(key, skeleton)


def _asked(request: Request, wish: _Wish, rows: int, read: Callable[[Model, Loaded], Question]) -> Asked:
    def checked(model: Model, loaded: Loaded) -> Question:
        tensors.selected(loaded, list(wish.outputs))
        return read(model, loaded)

    def write(model: Model, loaded: Loaded, scores: Scores) -> Answer:
        return _answer(model, loaded, scores, wish)

    return Asked(request.params["name"], request.params.get("version", ""), rows, checked, write)


def _object(service: Service, text: bytes) -> Mapping[str, Any]:
    data = parse(text, service.config.limits.json_depth)
    if not isinstance(data, dict):
        raise Refused(400, "json", "the body must be an object with 'inputs'")
    return data


def _wish(data: Mapping[str, Any]) -> _Wish:
    identity = data.get("id", "")
    if not isinstance(identity, str):
        raise Refused(400, "json", "'id' must be text", column="id")
    return _Wish(_wanted(data), _flag(data, "binary_data_output"), identity)


def _parts(request: Request, body: bytes) -> tuple[bytes, memoryview]:
    """The JSON text, and what stands behind it."""
    length = request.headers.get(LENGTH)
    if length is None:
        return body, memoryview(b"")
    if not length.isdigit() or len(length) > 12 or int(length) > len(body):
        raise Refused(400, "header", "Inference-Header-Content-Length must be the length of the JSON part of the body")
    return body[: int(length)], memoryview(body)[int(length) :]


def _tensors(service: Service, data: Mapping[str, Any], binary: memoryview) -> list[Tensor]:
    entries, limits, position = data.get("inputs"), service.config.limits, 0
    if not isinstance(entries, list) or not entries:
        raise Refused(400, "json", "'inputs' must be a list of tensors", column="inputs")
    result = []
    for entry in entries:
        name, datatype, shape, count = tensors.header(entry, limits.items, limits.list_length)
        size = _parameters(entry, name).get("binary_data_size")
        if size is None:
            result.append(tensors.from_json(name, datatype, shape, count, entry.get("data")))
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - position:
            told = f"binary_data_size must be a whole number, of the {len(binary) - position:,} bytes that are left"
            told += "" if binary else "; bytes behind the JSON need the header Inference-Header-Content-Length"
            raise Refused(400, "tensor", f"'{name}': {told}", column=name)
        if "data" in entry:
            raise Refused(400, "tensor", f"'{name}': has both 'data' and binary_data_size", column=name)
        result.append(tensors.from_bytes(name, datatype, shape, count, binary[position : position + size]))
        position += size
    if position != len(binary):
        raise Refused(400, "tensor", f"{len(binary) - position:,} bytes behind the last tensor", column="inputs")
    return result


def _parameters(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    parameters = entry.get("parameters", {})
    if not isinstance(parameters, dict):
        raise Refused(400, "json", f"'{name[:100]}': 'parameters' must be an object", column=name[:100])
    for asked in EXTENSIONS & parameters.keys():
        told = asked.partition("_region")[0].replace("_", " ")
        raise Refused(400, "tensor", f"'{name[:100]}': {told} is not supported", column=name[:100])
    return parameters


def _flag(data: Mapping[str, Any], key: str) -> bool:
    return _parameters(data, "parameters").get(key) is True


def _wanted(data: Mapping[str, Any]) -> dict[str, bool | None]:
    """The outputs that are asked for, and whether as bytes."""
    entries = data.get("outputs", [])
    if not isinstance(entries, list) or not all(
        isinstance(e, dict) and isinstance(e.get("name"), str) for e in entries
    ):
        raise Refused(400, "json", "'outputs' must be a list of objects with a 'name'", column="outputs")
    wanted: dict[str, bool | None] = {}
    for entry in entries:
        wanted[entry["name"]] = _parameters(entry, entry["name"]).get("binary_data")
    return wanted


def _answer(model: Model, loaded: Loaded, scores: Scores, wish: _Wish) -> Answer:
    outputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for name in tensors.selected(loaded, list(wish.outputs)):
        values = scores[name]
        entry: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": values.shape}
        as_bytes = wish.outputs.get(name)
        if wish.binary if as_bytes is None else as_bytes:
            raw = np.ascontiguousarray(values, "<f4").tobytes()
            tail.append(raw)
            entry["parameters"] = {"binary_data_size": len(raw)}
        else:
            entry["data"] = np.ascontiguousarray(values).reshape(-1)
        outputs.append(entry)
    result: dict[str, Any] = {"model_name": model.name, "model_version": loaded.version, "outputs": outputs}
    if wish.identity:
        result["id"] = wish.identity
    text = dump(result)
    if not tail:
        return Answer(text)
    headers = [(LENGTH, str(len(text)).encode())]
    return Answer(b"".join((text, *tail)), type=b"application/octet-stream", headers=headers)


PARAMETERS: dict[str, Any] = {"type": "object"}
BODY: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": PARAMETERS,
        "inputs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "datatype", "shape"],
                "properties": {
                    "name": {"type": "string"},
                    "datatype": {"enum": list(tensors.TYPES)},
                    "shape": {
                        "type": "array",
                        "items": {"type": "integer", "minimum": 0},
                        "minItems": 1,
                        "maxItems": 4,
                    },
                    "parameters": PARAMETERS,
                    "data": {"type": "array"},
                },
            },
        },
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "parameters": PARAMETERS},
            },
        },
    },
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["model_name", "model_version", "outputs"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {"type": "array", "items": {"type": "object", "required": ["name", "datatype", "shape"]}},
    },
}
ROUTES = [
    Route("POST", path, infer, "Scores of tensors, by the Open Inference Protocol.", body=BODY, schema=SCHEMA)
    for path in ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer")
]
