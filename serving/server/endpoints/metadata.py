"""`GET /v2`, `/v2/health/*`, `/v2/models/*`: what is served and whether it is ready, by the Open Inference Protocol."""

from __future__ import annotations

from typing import Any

from easyrec.errors import version
from serving.server import tensors
from serving.server.endpoints import Route
from serving.server.http import Answer, Request, dump
from serving.server.models import Model
from serving.server.service import Service

SERVER = "easyrec"
EXTENSIONS = ["binary_tensor_data"]


async def server(service: Service, request: Request) -> Answer:
    """Of the server."""
    return Answer(dump({"name": SERVER, "version": version(), "extensions": EXTENSIONS}))


async def live(service: Service, request: Request) -> Answer:
    """Whether it runs."""
    return Answer(dump({"live": True}))


async def ready(service: Service, request: Request) -> Answer:
    """Whether it takes requests."""
    return Answer(dump({"ready": service.ready}), 200 if service.ready else 503)


async def model(service: Service, request: Request) -> Answer:
    """Of a model, or of one of its versions."""
    found = service.models.get(request.params["name"])
    return Answer(dump(described(found, request.params.get("version", ""))))


def described(found: Model, wanted: str) -> dict[str, Any]:
    """A model's metadata.

    Raises:
        Refused: It has no such version, or none yet.
    """
    with found.pick(wanted).leased() as loaded:
        inputs, outputs = tensors.described(found, loaded)
        return {
            "name": found.name,
            "versions": found.known(),
            "platform": f"easyrec_{loaded.predictor.runtime}",
            "inputs": inputs,
            "outputs": outputs,
        }


async def model_ready(service: Service, request: Request) -> Answer:
    """Whether a model, or one of its versions, answers."""
    found = service.models.get(request.params["name"])
    name = {"name": found.name}
    is_ready = is_model_ready(service, found, request.params.get("version", ""))
    return Answer(dump({**name, "ready": is_ready}), 200 if is_ready else 503)


def is_model_ready(service: Service, found: Model, wanted: str) -> bool:
    """Whether it answers.

    Raises:
        Refused: It has no such version.
    """
    if wanted and not found.ready:
        return False  # the version may be one that is being loaded
    return service.admission.open and (found.pick(wanted).current is not None if wanted else found.ready)


OBJECT: dict[str, Any] = {"type": "object"}
NOT_READY = {200: "ready", 503: "not ready"}
ROUTES = [
    Route("GET", "/v2", server, "Name, version and extensions of the server.", schema=OBJECT),
    Route("GET", "/v2/health/live", live, "Whether the server runs.", "open", schema=OBJECT),
    Route("GET", "/v2/health/ready", ready, "Whether it takes requests.", "open", answers=NOT_READY, schema=OBJECT),
    *(
        Route("GET", f"/v2/models/{{name}}{part}", model, "Versions, inputs and outputs of a model.", schema=OBJECT)
        for part in ("", "/versions/{version}")
    ),
    *(
        Route(
            "GET",
            f"/v2/models/{{name}}{part}/ready",
            model_ready,
            "Whether a model answers.",
            answers=NOT_READY,
            schema=OBJECT,
        )
        for part in ("", "/versions/{version}")
    ),
]
