"""A store over gRPC: `easyrec.FeatureStore`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from easyrec.store.reader import ReadColumns
from serving.server.grpc_messages import made
from serving.server.grpc_server import Call, GRPCServer
from serving.server.http import Refused, Request
from serving.store.question import Question, checked, stream_of
from serving.store.service import StoreService

PACKAGE = "easyrec"
# As `MESSAGES` of `serving.server.grpc_messages`.
MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "ReadyRequest": {},
    "ReadyResponse": {"ready": (1, "bool")},
    "Ids": {"join_id": (1, "string"), "texts": (2, "*string"), "numbers": (3, "*int64")},
    "ReadRequest": {"model": (1, "string"), "ids": (2, "*Ids"), "deadline_ms": (3, "double")},
    "Columns": {"join_id": (1, "string"), "arrow": (2, "bytes"), "defaulted": (3, "bool")},
    "ReadResponse": {"model": (1, "string"), "columns": (2, "*Columns")},
}


@cache
def messages() -> dict[str, Any]:
    """The class of each message, by its name."""
    return made("easyrec_feature_store.proto", PACKAGE, MESSAGES)


class StoreGRPCServer(GRPCServer):
    """`Read` and `Ready`."""

    service: StoreService
    name, open = f"{PACKAGE}.FeatureStore", ("Ready",)

    def calls(self) -> Mapping[str, Call]:
        """What is called, by name."""
        return {"Read": self._read, "Ready": self._ready}

    def messages(self) -> Mapping[str, Any]:
        """The class of each message, by name."""
        return messages()

    async def _ready(self, message: Any, request: Request) -> Any:
        return messages()["ReadyResponse"](ready=self.service.ready)

    async def _read(self, message: Any, request: Request) -> Any:
        def open_() -> Question:
            ids: dict[str, list[Any]] = {}
            for some in message.ids:
                if some.join_id in ids or (some.texts and some.numbers):
                    told = "is given twice" if some.join_id in ids else "has texts and numbers, but takes one of them"
                    raise Refused(400, "ids", f"'{some.join_id[:100]}' {told}", column=some.join_id[:100])
                ids[some.join_id] = list(some.texts or some.numbers)
            deadline = message.deadline_ms or None
            return checked(Question(ids, message.model, deadline), self.service.config.limits)

        def write(question: Question, model: str, found: ReadColumns) -> Any:
            columns = []
            for name, batch in found.items():
                stream = stream_of(name, question.ids[name], batch, name in found.defaulted)
                columns.append(messages()["Columns"](join_id=name, arrow=stream, defaulted=name in found.defaulted))
            return messages()["ReadResponse"](model=model, columns=columns)

        return await self.service.ask(request, open_, write, message.ByteSize())
