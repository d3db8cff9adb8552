"""`POST /models/{name}/items`: an admin's changes of a catalogue, which all processes follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from feature_generator.errors import DataError
from serving.server import by_key
from serving.server.endpoints import Route
from serving.server.http import Answer, Refused, Request, dump
from serving.server.json_body import parse
from serving.server.service import Service

KEYS = ("upsert", "remove")


async def items(service: Service, request: Request) -> Answer:
    """Upsert and remove items of a catalogue: all that the body says, or nothing."""
    model, limits = service.models.get(request.params["name"]), service.config.limits
    request.model = model.name
    if model.items is None:
        raise Refused(409, "no_catalogue", f"the model '{model.name}' has no catalogue")
    body = await request.body(limits.body_bytes, limits.body_timeout_s)
    data = parse(body, limits.json_depth)
    if not isinstance(data, dict):
        raise Refused(400, "json", "the body must be an object: {upsert, remove}")
    for key in data:
        if key not in KEYS:
            raise Refused(400, "unknown_key", f"unknown key '{key[:100]}'; known: {', '.join(KEYS)}", column=key[:100])
    upsert, remove = (data.get(key, []) for key in KEYS)
    if not isinstance(upsert, list) or not all(isinstance(row, Mapping) for row in upsert):
        raise Refused(400, "json", "'upsert' must be a list of items, each an object of columns", column="upsert")
    if not isinstance(remove, list):
        raise Refused(400, "json", "'remove' must be a list of keys", column="remove")
    if not model.ready:
        raise Refused(503, "starting", "the model is being loaded", retry_after=1)

    def change() -> tuple[int, int, int]:
        with model.main.leased() as loaded:
            by_key.check_items(model, loaded, upsert)
        return service.keeper.change(model, upsert, remove)

    try:
        upserted, removed, rows = await service.aside(change)
    except DataError as error:
        raise Refused(400, "data", str(error), column=error.column, row=error.row) from None
    return Answer(dump({"model": model.name, "upserted": upserted, "removed": removed, "items": rows}))


ITEM: dict[str, Any] = {"type": "object", "description": "All columns of an item that the catalogue keeps."}
BODY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "upsert": {"type": "array", "items": ITEM},
        "remove": {"type": "array", "items": {"type": ["string", "integer"]}},
    },
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["model", "upserted", "removed", "items"],
    "properties": {
        "model": {"type": "string"},
        "upserted": {"type": "integer"},
        "removed": {"type": "integer"},
        "items": {"type": "integer", "description": "How many the catalogue holds now."},
    },
}
ROUTES = [
    Route(
        "POST",
        "/models/{name}/items",
        items,
        "Upsert and remove items of a model's catalogue.",
        "admin",
        body=BODY,
        answers={200: "changed", 409: "the model has no catalogue"},
        schema=SCHEMA,
    )
]
