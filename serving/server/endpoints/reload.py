"""`POST /models/{name}/reload` and `/rollback`: an admin's orders, which all processes follow."""

from __future__ import annotations

from typing import Any

from serving.server.endpoints import Route
from serving.server.http import Answer, Request, dump
from serving.server.service import Service


async def reload(service: Service, request: Request) -> Answer:
    """Look at a model's bundles and deltas now."""
    model = service.models.get(request.params["name"])
    outcomes = await service.aside(lambda: service.keeper.reload(model))
    versions = [
        {"version": version.current.version if version.current is not None else None, "result": outcome.result}
        | ({"error": outcome.why} if outcome.why else {})
        for version, outcome in zip(model.versions, outcomes, strict=True)
    ]
    refused = any(outcome.result == "refused" for outcome in outcomes)
    return Answer(dump({"model": model.name, "versions": versions}), 409 if refused else 200)


async def rollback(service: Service, request: Request) -> Answer:
    """Answer with the bundle before the one that answers."""
    model = service.models.get(request.params["name"])
    version = model.pick(request.params.get("version", "")) if "version" in request.params else model.versions[0]
    await service.aside(lambda: service.keeper.rollback(model, version))
    return Answer(dump({"model": model.name, "version": version.current.version if version.current else None}))


OBJECT: dict[str, Any] = {"type": "object"}
NO_FORMER = {200: "rolled back", 409: "there is no bundle to go back to"}
ROUTES = [
    Route(
        "POST",
        "/models/{name}/reload",
        reload,
        "Take the bundle and the deltas that lie there now.",
        "admin",
        answers={200: "taken, or the same as before", 409: "refused; what answered goes on"},
        schema=OBJECT,
    ),
    *(
        Route("POST", path, rollback, "Answer with the bundle before.", "admin", answers=NO_FORMER, schema=OBJECT)
        for path in ("/models/{name}/rollback", "/models/{name}/versions/{version}/rollback")
    ),
]
