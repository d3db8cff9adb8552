"""`POST /v2/models/{name}/infer`: the Open Inference Protocol, with tensors in JSON or behind it as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.server import tensors
from serving.server.columns import Question, Scores
from serving.server.endpoints import Route
from serving.server.http import Answer, Refused, Request, dump
from serving.server.json_body import parse
from serving.server.models import Loaded, Model
from serving.server.service import Asked, Service
from serving.server.tensors import Tensor

LENGTH = b"inference-header-content-length"


async def infer(service: Service, request: Request) -> Answer:
    """Score tensors."""
    return await service.score(request, lambda body: asked(service, request, body))


def asked(service: Service, request: Request, body: bytes) -> Asked:
    """Whom a body asks what.

    Raises:
        Refused: It is not what the protocol says.
    """
    text, binary = _parts(request, body)
    data = parse(text, service.config.limits.json_depth)
    if not isinstance(data, dict):
        raise Refused(400, "json", "the body must be an object with 'inputs'")
    given = _tensors(service, data, binary)
    wanted = _wanted(data)
    identity = data.get("id", "")
    if not isinstance(identity, str):
        raise Refused(400, "json", "'id' must be text", column="id")

    def read(model: Model, loaded: Loaded) -> Question:
        tensors.selected(loaded, list(wanted))
        return tensors.question(model, loaded, given)

    def write(model: Model, loaded: Loaded, scores: Scores) -> Answer:
        return _answer(model, loaded, scores, wanted, _flag(data, "binary_data_output"), identity)

    rows = max(tensor.rows for tensor in given)
    return Asked(request.params["name"], request.params.get("version", ""), rows, read, write)


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
            raise Refused(400, "tensor", f"'{name}': binary_data_size is beyond the end of the body", column=name)
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
        parameters = _parameters(entry, entry["name"])
        if "classification" in parameters:
            raise Refused(
                400, "tensor", f"'{entry['name'][:100]}': classification is not supported", column=entry["name"][:100]
            )
        wanted[entry["name"]] = parameters.get("binary_data")
    return wanted


def _answer(
    model: Model, loaded: Loaded, scores: Scores, wanted: Mapping[str, bool | None], binary: bool, identity: str
) -> Answer:
    outputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for name in tensors.selected(loaded, list(wanted)):
        values = scores[name]
        entry: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": values.shape}
        as_bytes = wanted.get(name)
        if binary if as_bytes is None else as_bytes:
            raw = np.ascontiguousarray(values, "<f4").tobytes()
            tail.append(raw)
            entry["parameters"] = {"binary_data_size": len(raw)}
        else:
            entry["data"] = np.ascontiguousarray(values).reshape(-1)
        outputs.append(entry)
    result: dict[str, Any] = {"model_name": model.name, "model_version": loaded.version, "outputs": outputs}
    if identity:
        result["id"] = identity
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
