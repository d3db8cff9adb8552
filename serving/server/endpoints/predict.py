"""`POST /predict`: `{user, items, context}` as JSON in, scores by task out; or the best candidates, or why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from easyrec.errors import DataError
from feature_generator.json_rows import JsonRows
from serving.server import by_key
from serving.server.columns import Question, Scores
from serving.server.endpoints import Route
from serving.server.http import Answer, Refused, Request, dump
from serving.server.json_body import parse
from serving.server.models import Loaded, Model
from serving.server.service import Asked, Service
from serving.top import top

KEYS = ("user", "items", "context", "model", "version", "top_k", "task", "explain")


async def predict(service: Service, request: Request) -> Answer:
    """Score candidates for a user."""
    return await service.score(request, lambda body: asked(service, request, body))


def asked(service: Service, request: Request, body: bytes) -> Asked:
    """Whom a body asks what.

    Raises:
        Refused: It is not what the endpoint takes.
    """
    data = parse(body, service.config.limits.json_depth, rows="items")
    if not isinstance(data, dict):
        raise Refused(400, "json", "the body must be an object: {user, items, context}")
    for key in data:
        if key not in KEYS:
            raise Refused(400, "unknown_key", f"unknown key '{key[:100]}'; known: {', '.join(KEYS)}", column=key[:100])
    model, version = (_text(data, key) or request.params.get(key, "") for key in ("model", "version"))
    if request.params.get("name"):
        if model:
            raise Refused(400, "unknown_key", "the path names the model already", column="model")
        model = request.params["name"]
    explain, best = data.get("explain", False), _best(data)
    if not isinstance(explain, bool):
        raise Refused(400, "json", "'explain' must be true or false", column="explain")
    question = Question(_columns(data, "user"), _items(data), _columns(data, "context"), explain=explain)
    most = service.config.limits.items
    if question.count > most:
        raise Refused(
            400, "items", f"the request has {question.count:,} items, but at most {most:,} are allowed", column="items"
        )

    def read(model: Model, loaded: Loaded) -> Question:
        by_key.check(model, loaded, question)
        return question

    def write(model: Model, loaded: Loaded, scores: Scores) -> Answer:
        return _write(model, loaded, question, scores, best)

    return Asked(model, version, question.count, read, write)


def _best(data: Mapping[str, Any]) -> tuple[int, str | None] | None:
    """How many candidates are asked for, and by which task; None: all."""
    count, task = data.get("top_k"), data.get("task")
    if count is not None and (type(count) is not int or count < 1):
        raise Refused(400, "json", "'top_k' must be a whole number above 0", column="top_k")
    if task is not None and (count is None or not isinstance(task, str)):
        raise Refused(400, "json", "'task' must be text, and says by what 'top_k' are the best", column="task")
    return None if count is None else (count, task)


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key, "")
    if not isinstance(value, str):
        raise Refused(400, "json", f"'{key}' must be text", column=key)
    return value


def _columns(data: Mapping[str, Any], key: str) -> Any:
    value = data.get(key)
    if value is not None and not isinstance(value, dict):
        raise Refused(400, "json", f"'{key}' must be an object of columns", column=key)
    return value


def _items(data: Mapping[str, Any]) -> Any:
    items = data.get("items")
    if isinstance(items, dict):
        lengths = {name: len(v) for name, v in items.items() if isinstance(v, list)}
        if len(lengths) < len(items):
            name = next(n for n in items if n not in lengths)
            raise Refused(400, "json", "a column of items must be a list, one value for each", column=name)
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"'{name}' has {length}" for name, length in list(lengths.items())[:5])
            raise Refused(400, "shape", f"the columns of items differ in length: {told}", column="items")
        return items
    if not isinstance(items, list | JsonRows):
        raise Refused(400, "json", "'items' must be a list of objects, or an object of lists", column="items")
    return items


def _write(
    model: Model, loaded: Loaded, question: Question, scores: Scores, best: tuple[int, str | None] | None
) -> Answer:
    told: dict[str, Any] = {"scores": scores}
    if best is not None:
        keys = loaded.predictor.keys_in(question.items)
        try:
            found = top(scores, *best, None if keys is None else keys.plain())
        except DataError as error:
            raise Refused(400, "data", error.reason, column=error.column) from None
        told = {"scores": found.scores, "task": found.task, "positions": found.positions}
        told |= {} if found.keys is None else {"keys": found.keys}
    if question.explained is not None:
        told["explained"] = question.explained.plain()
    return Answer(dump(told | {"model": model.name, "version": loaded.version}))


COLUMNS: dict[str, Any] = {"type": ["object", "null"], "description": "Raw columns by name."}
BODY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["items"],
    "properties": {
        "user": COLUMNS,
        "items": {
            "description": "An object for each candidate, or one object with a list for each column; or keys of a catalogue.",
            "anyOf": [
                {"type": "array", "items": {"type": "object"}},
                {"type": "object", "additionalProperties": {"type": "array"}},
                {"type": "array", "items": {"type": ["string", "integer"]}},
            ],
        },
        "context": COLUMNS,
        "model": {"type": "string"},
        "version": {"type": "string"},
        "top_k": {"type": "integer", "minimum": 1, "description": "Only so many candidates, the best first."},
        "task": {"type": "string", "description": "By which task they are the best; with one task it may be left out."},
        "explain": {"type": "boolean", "description": "Tell also how the scores came about."},
    },
}
SCORES: dict[str, Any] = {
    "type": "object",
    "required": ["scores", "model", "version"],
    "properties": {
        "scores": {"type": "object", "additionalProperties": {"type": "array"}},
        "model": {"type": "string"},
        "version": {"type": "string"},
        "task": {"type": "string"},
        "positions": {"type": "array", "items": {"type": "integer"}, "description": "Of `top_k`: where they stood."},
        "keys": {"type": "array", "description": "Of `top_k` among keys: which they are."},
        "explained": {"type": "object"},
    },
}
NAMED = {key: value for key, value in BODY["properties"].items() if key != "model"}
ROUTES = [
    Route("POST", "/predict", predict, "Scores of candidates for a user.", body=BODY, schema=SCORES),
    Route(
        "POST",
        "/models/{name}/predict",
        predict,
        "Scores of candidates for a user, by the model that the path names.",
        body={**BODY, "properties": NAMED},
        schema=SCORES,
    ),
]
