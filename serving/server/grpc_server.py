"""gRPC in the event loop of the HTTP server and by the same rules; what it speaks of bundles is the Open Inference Protocol."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import grpc
import numpy as np

from easyrec.errors import ConfigError, RunError, version
from serving.server import tensors
from serving.server.app import App
from serving.server.columns import Question, Scores
from serving.server.endpoints import Route, metadata
from serving.server.events import tell
from serving.server.grpc_messages import SERVICE, messages
from serving.server.http import Answer, Refused, Request
from serving.server.models import Loaded, Model
from serving.server.service import Asked, Service
from serving.server.tensors import Tensor

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""gRPC's codes for the statuses of HTTP; anything else is INTERNAL."""
CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
FRAMING_BYTES = 1 << 16
"""What a message may have beside its tensors."""


Call: TypeAlias = Callable[[Any, Request], Awaitable[Any]]


class GRPCServer(ABC):
    """Serves a service over gRPC.

    Args:
        service: What answers.
        app: What knows the tokens.

    Attributes:
        name: Of the gRPC service.
        open: Calls that need no token.
    """

    name: str
    open: tuple[str, ...] = ()

    def __init__(self, service: Any, app: App) -> None:
        self.service, self.app = service, app
        self._server: Any = None
        self.port = 0

    @abstractmethod
    def calls(self) -> Mapping[str, Call]:
        """What is called, by name."""

    @abstractmethod
    def messages(self) -> Mapping[str, Any]:
        """The class of each message, by name: `<call>Request`, `<call>Response` among them."""

    async def start(self) -> None:
        """Listen.

        Raises:
            RunError: The port is taken.
        """
        config = self.service.config
        assert config.grpc is not None
        most = config.limits.body_bytes + FRAMING_BYTES
        options = [("grpc.max_receive_message_length", most), ("grpc.so_reuseport", int(config.processes > 1))]
        self._server = grpc.aio.server(options=options)
        self._server.add_generic_rpc_handlers((self._handlers(),))
        address = f"[{config.host}]:{config.grpc.port}" if ":" in config.host else f"{config.host}:{config.grpc.port}"
        try:
            credentials = _credentials(config.tls)
            if credentials is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, credentials)
        except RuntimeError:
            raise RunError(f"cannot listen on {address} for gRPC") from None
        await self._server.start()
        tell(logging.INFO, "listening for gRPC", host=config.host, port=self.port)

    async def stop(self) -> None:
        """End; calls that run may do so."""
        if self._server is not None:
            await self._server.stop(1.0)

    def _handlers(self) -> Any:
        made = self.messages()
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                self._guarded(name, call),
                request_deserializer=made[f"{name}Request"].FromString,
                response_serializer=made[f"{name}Response"].SerializeToString,
            )
            for name, call in self.calls().items()
        }
        return grpc.method_handlers_generic_handler(self.name, handlers)

    def _guarded(self, name: str, call: Call) -> Callable[[Any, Any], Awaitable[Any]]:
        access: Literal["open", "token"] = "open" if name in self.open else "token"
        route = Route("POST", f"grpc/{name}", metadata.live, "", access)

        async def guarded(message: Any, context: Any) -> Any:
            started = time.perf_counter()
            remaining = context.time_remaining()
            seconds = self.service.config.limits.deadline_ms / 1000.0
            if remaining is not None and remaining > 0.0:
                seconds = min(seconds, remaining)
            headers = {
                key.encode(): value.encode() for key, value in context.invocation_metadata() if isinstance(value, str)
            }
            request = Request("POST", route.path, headers, _no_body, {}, started, started + seconds)
            status, reason, text = 200, "", ""
            answer: Any = None
            try:
                self.app.allow(route, request)
                answer = await call(message, request)
            except Refused as refused:
                status, reason, text = refused.status, refused.reason, refused.text
            except Exception as error:  # noqa: BLE001 (the process edge: it is told in the log, not to the client)
                tell(logging.ERROR, "a request failed", error, endpoint=route.path)
                status, reason, text = 500, "internal", "an internal error; the server's log tells more"
            finally:
                self.service.count(request, route.path, status, reason)
            if reason:
                await context.abort(CODES.get(status, grpc.StatusCode.INTERNAL), text)
            return answer

        return guarded


class InferenceServer(GRPCServer):
    """The Open Inference Protocol over gRPC."""

    service: Service
    name, open = SERVICE, ("ServerLive", "ServerReady")

    def calls(self) -> Mapping[str, Call]:
        """What is called, by name."""
        return {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._infer,
        }

    def messages(self) -> Mapping[str, Any]:
        """The class of each message, by name."""
        return messages()

    # ---------------------------------------------------------------------------------------------- metadata

    async def _server_live(self, message: Any, request: Request) -> Any:
        return messages()["ServerLiveResponse"](live=True)

    async def _server_ready(self, message: Any, request: Request) -> Any:
        return messages()["ServerReadyResponse"](ready=self.service.ready)

    async def _server_metadata(self, message: Any, request: Request) -> Any:
        told = {"name": metadata.SERVER, "version": version(), "extensions": metadata.EXTENSIONS}
        return messages()["ServerMetadataResponse"](**told)

    async def _model_ready(self, message: Any, request: Request) -> Any:
        model = self.service.models.get(message.name)
        is_ready = metadata.is_model_ready(self.service, model, message.version)
        return messages()["ModelReadyResponse"](ready=is_ready)

    async def _model_metadata(self, message: Any, request: Request) -> Any:
        told = metadata.described(self.service.models.get(message.name), message.version)
        made = messages()["TensorMetadata"]
        parts = {key: [made(**tensor) for tensor in told.pop(key)] for key in ("inputs", "outputs")}
        return messages()["ModelMetadataResponse"](**told, **parts)

    # --------------------------------------------------------------------------------------------- inference

    async def _infer(self, message: Any, request: Request) -> Any:
        self.service.admission.check()
        made: list[Any] = []

        def open_() -> Asked:
            given = self._tensors(message)
            wanted = [output.name for output in message.outputs]

            def read(model: Model, loaded: Loaded) -> Question:
                tensors.selected(loaded, wanted)
                return tensors.question(model, loaded, given)

            def write(model: Model, loaded: Loaded, scores: Scores) -> Answer:
                made.append(_response(model, loaded, scores, tensors.selected(loaded, wanted), message.id))
                return Answer()

            rows = max(tensor.rows for tensor in given)
            return Asked(message.model_name, message.model_version, rows, read, write)

        await self.service.ask(request, open_, num_bytes=message.ByteSize())
        return made[0]

    def _tensors(self, message: Any) -> list[Tensor]:
        limits, raw = self.service.config.limits, message.raw_input_contents
        if not message.inputs:
            raise Refused(400, "tensor", "the request has no inputs", column="inputs")
        if raw and len(raw) != len(message.inputs):
            raise Refused(400, "tensor", f"{len(raw)} raw contents for {len(message.inputs)} inputs", column="inputs")
        result = []
        for place, tensor in enumerate(message.inputs):
            entry = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
            name, datatype, shape, count = tensors.header(entry, limits.items, limits.list_length)
            if raw:
                result.append(tensors.from_bytes(name, datatype, shape, count, memoryview(raw[place])))
                continue
            values = getattr(tensor.contents, CONTENTS[datatype]) if datatype in CONTENTS else None
            if values is None:
                raise Refused(400, "tensor", f"'{name}': {datatype} must come as raw contents", column=name)
            result.append(_from_contents(name, datatype, shape, count, values))
        return result


async def _no_body() -> Any:
    raise AssertionError("a message has come whole")


def _from_contents(name: str, datatype: str, shape: tuple[int, ...], count: int, values: Iterable[Any]) -> Tensor:
    flat = list(values)
    if datatype != "BYTES":
        return tensors.from_json(name, datatype, shape, count, flat)
    try:
        texts = [value.decode() for value in flat]
    except UnicodeDecodeError:
        raise Refused(400, "tensor", f"'{name}': holds a text that is not UTF-8", column=name) from None
    return tensors.from_json(name, datatype, shape, count, texts)


def _response(model: Model, loaded: Loaded, scores: Mapping[str, np.ndarray], names: list[str], identity: str) -> Any:
    made = messages()
    outputs = [made["InferOutputTensor"](name=n, datatype="FP32", shape=scores[n].shape) for n in names]
    return made["ModelInferResponse"](
        model_name=model.name,
        model_version=loaded.version,
        id=identity,
        outputs=outputs,
        raw_output_contents=[np.ascontiguousarray(scores[name], "<f4").tobytes() for name in names],
    )


def _credentials(tls: Any) -> Any:
    if tls is None:
        return None
    if tls.key_password is not None:
        raise ConfigError("tls.key_password: gRPC takes keys without a password only")
    key, certificate = Path(tls.key).read_bytes(), Path(tls.certificate).read_bytes()
    authority = None if tls.client_authority is None else Path(tls.client_authority).read_bytes()
    return grpc.ssl_server_credentials([(key, certificate)], authority, authority is not None)
