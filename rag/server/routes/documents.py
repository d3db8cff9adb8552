"""Documents: put files in, and see what became of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from easyrec.errors import ConfigError
from easyrec.retrieval.filters import facts_of
from rag.records import Stored
from rag.server.files import new
from rag.server.ingesting import preview, shown_chunk
from rag.server.names import folder_name
from rag.server.refused import Refused
from rag.server.routes import Json, Route, base_of, left_of, number_in, page_of, user_of, with_base, with_document
from rag.server.service import Service
from rag.server.shelf import Open
from rag.server.tasks import OPEN, Task
from rag.server.uploads import Receiver, Upload
from rag.server.users import EVERYBODY, User

PREVIEWED = 200
FIELDS = ("folder", "facts", "access", "hold")


async def listed(service: Service, request: Request) -> Response:
    """The documents that this key may see."""
    access = user_of(request).access
    limit, offset = page_of(request)

    def work(opened: Open) -> dict[str, Any]:
        found = opened.base.documents(access)
        data = [_told(document) for document in found[offset : offset + limit]]
        return {"object": "list", "data": data, "total": len(found), "has_more": offset + limit < len(found)}

    return Json(await with_base(service, request, work))


async def uploaded(service: Service, request: Request) -> Response:
    """Files that are to be documents: they are on the disk, and noted, before this is answered."""
    name, user = base_of(service, request), user_of(request)
    limits = service.config.limits
    service.uploads.enter()
    try:
        room = await service.work.run(lambda: _room(service, user, name), limits.deadline_s)
        receiver = Receiver(service.coming, request.headers.get("content-type", ""), limits, room)
        try:
            upload = await receiver.take(request.stream())
        except ClientDisconnect:
            raise Refused(400, "disconnected", "the client went away") from None
        service.metrics.add("easyrec_rag_upload_bytes_total", upload.size)
        tasks = await service.work.run(lambda: _noted(service, user, name, upload), limits.deadline_s)
    finally:
        service.uploads.leave()
    service.ingesting.wake()
    return Json({"object": "list", "data": tasks}, 202)


def _room(service: Service, user: User, base: str) -> int | None:
    """Bytes that a user may still send for a knowledge base: with them they would have no more than they may."""
    counts = service.tasks.counts()
    if counts.get("waiting", 0) + counts.get("held", 0) >= service.config.limits.waiting_tasks:
        raise Refused(429, "busy", "too many files wait to be taken in: try again later", retry_after=30.0)
    if user.quota.bytes is None:
        return None
    _, size = service.tasks.used(user.name)
    return max(0, user.quota.bytes - size + service.tasks.kept(user.name, base))


def _within(service: Service, user: User, base: str, more: Mapping[str, int]) -> None:
    """Look whether a user may have these documents besides.

    Raises:
        Refused: They may not.
    """
    quota = user.quota
    if quota.documents is None and quota.bytes is None:
        return
    documents, size = service.tasks.used(user.name, base, more)
    if quota.documents is not None and documents > max(quota.documents, service.tasks.used(user.name)[0]):
        raise Refused(429, "insufficient_quota", "the quota of documents is used: remove some first")
    if quota.bytes is not None and size > max(quota.bytes, service.tasks.used(user.name)[1]):
        raise Refused(429, "insufficient_quota", "the quota of bytes is used: remove some documents first")


def _noted(service: Service, user: User, base: str, upload: Upload) -> list[dict[str, Any]]:
    """The tasks of an upload."""
    kept: list[str] = []
    try:
        facts, folder, hold = _fields(upload.fields, user)
        names = [f"{folder}/{called}" if folder else called for called, _, _ in upload.files]
        if len(names) > len(set(names)):
            raise Refused(400, "file_name", "two of the files have one name", param="files")
        with service.shelf.use(base) as opened:
            for source in names:
                former = opened.base.records.document(source)
                if former is not None and not former.visible(user.access):
                    raise Refused(409, "exists", f"'{source}' is the name of a document that is kept for others")
        files, held = [], new()
        for source, (_, path, size) in zip(names, upload.files, strict=True):
            kept.append(service.files.take(path, held, source))
            files.append((source, kept[-1], size))
        with service.tasks.putting:  # what is left is looked at and taken by one upload at a time
            _room(service, user, base)
            _within(service, user, base, {source: size for source, _, size in files})
            numbers = service.tasks.add(base, user.name, files, facts, user.access, "held" if hold else "waiting")
        return [task_told(task) for number in numbers if (task := service.tasks.task(number)) is not None]
    except BaseException:
        upload.drop()
        for file in kept:
            service.files.drop(file)
        raise


def _fields(fields: dict[str, str], user: User) -> tuple[dict[str, Any], str, bool]:
    """Facts, folder and whether to hold, as the other parts of an upload say."""
    for key in fields:
        if key not in FIELDS:
            raise Refused(400, "field", f"unknown part '{key[:60]}'; known: files, {', '.join(FIELDS)}", param=key[:60])
    try:
        facts = json.loads(fields.get("facts", "{}"))
        named = json.loads(fields["access"]) if fields.get("access", "").strip().startswith("[") else None
        named = named if named is not None else [n.strip() for n in fields.get("access", "").split(",") if n.strip()]
        if not isinstance(facts, dict):
            raise TypeError
        known: dict[str, Any] = {name: list(values) for name, values in facts_of(facts).items()}
    except (ValueError, TypeError, RecursionError):
        text = "'facts' must be a JSON object, and 'access' names with commas between them"
        raise Refused(400, "facts", text, param="facts") from None
    except ConfigError as error:
        raise Refused(400, "facts", error.problems[0].message, param="facts") from None
    if "access" in known:
        raise Refused(400, "facts", "whom a document is for is said by 'access'", param="facts")
    if not all(isinstance(one, str) for one in named):
        raise Refused(400, "access", "'access' must be names", param="access")
    user.may_name(named)
    own = user.access
    if named and own is not None and EVERYBODY not in named and not set(named) & set(own):
        raise Refused(403, "access", "a document must be for somebody of this key", param="access")
    hold = fields.get("hold", "false").lower()
    if hold not in ("true", "false", "1", "0"):
        raise Refused(400, "hold", "'hold' must be true or false", param="hold")
    own_facts = {**known, "access": named} if named else known  # else those stay who are named already
    return own_facts, folder_name(fields.get("folder", "")), hold in ("true", "1")


async def shown(service: Service, request: Request) -> Response:
    """A document."""
    return Json(await with_document(service, request, lambda opened, document: _told(document)))


async def removed(service: Service, request: Request) -> Response:
    """One less: no search finds it any more."""

    def work(opened: Open, document: Stored) -> dict[str, Any]:
        with opened.writing:
            opened.base.remove(document.source)
        for file in service.tasks.forget(opened.name, document.source):
            service.files.drop(file)
        return {"id": document.id, "deleted": True}

    return Json(await with_document(service, request, work))


async def chunks(service: Service, request: Request) -> Response:
    """What a document says, in parts."""
    limit, offset = page_of(request)

    def work(opened: Open, document: Stored) -> dict[str, Any]:
        parts = opened.base.records.parts_of(document.id)
        data = [
            {"id": part.id, "number": part.number, **shown_chunk(part.chunk)} for part in parts[offset : offset + limit]
        ]
        return {"object": "list", "data": data, "total": len(parts), "has_more": offset + limit < len(parts)}

    return Json(await with_document(service, request, work))


def _told(document: Stored) -> dict[str, Any]:
    return {
        "id": document.id,
        "source": document.source,
        "facts": document.facts,
        "chunks": document.chunks,
        "changed": document.changed,
    }


# ------------------------------------------------------------------------------------------------- tasks


async def tasks(service: Service, request: Request) -> Response:
    """What became of the files that were put in, the last one first."""
    name, user = base_of(service, request), user_of(request)
    limit, offset = page_of(request)
    whose = None if user.access is None else user.name  # as `_mine`

    def work() -> list[dict[str, Any]]:
        return [task_told(task) for task in service.tasks.of(name, limit, offset, whose)]

    found = await service.work.run(work, left_of(request, service.config.limits.deadline_s))
    return Json({"object": "list", "data": found})


async def task(service: Service, request: Request) -> Response:
    """What became of one."""
    return Json(await _with_task(service, request, task_told))


async def previewed(service: Service, request: Request) -> Response:
    """The chunks that a file would have that is held, or waits."""

    def work(found: Task) -> dict[str, Any]:
        if found.state not in OPEN:
            raise Refused(409, "state", f"the task is {found.state}: its document's chunks are there, or it has none")
        with service.shelf.use(found.base) as opened:
            data, total = preview(opened.base, service.files.path(found.file), PREVIEWED)
        return {"object": "list", "data": data, "total": total, "has_more": total > len(data)}

    return Json(await _with_task(service, request, work, service.config.limits.answer_s))


async def indexed(service: Service, request: Request) -> Response:
    """Let a file that was held be taken in."""

    def work(found: Task) -> dict[str, Any]:
        if not service.tasks.move(found.id, "waiting", ("held",)):
            raise Refused(409, "state", f"the task is {found.state}, and was not held")
        service.ingesting.wake()
        return task_told(service.tasks.task(found.id) or found)

    return Json(await _with_task(service, request, work), 202)


async def cancelled(service: Service, request: Request) -> Response:
    """Do not take a file in."""

    def work(found: Task) -> dict[str, Any]:
        if not service.tasks.move(found.id, "cancelled", ("held", "waiting")):
            raise Refused(409, "state", f"the task is {found.state}: it can no longer be cancelled")
        service.files.drop(found.file)
        return task_told(service.tasks.task(found.id) or found)

    return Json(await _with_task(service, request, work))


async def _with_task(
    service: Service, request: Request, work: Callable[[Task], dict[str, Any]], seconds: float | None = None
) -> dict[str, Any]:
    """What something makes of a task that this key may know of.

    Raises:
        Refused: There is none.
    """
    name, user, number = base_of(service, request), user_of(request), number_in(request, "task")

    def found() -> dict[str, Any]:
        task = service.tasks.task(number)
        if task is None or task.base != name or not _mine(task, user):
            raise Refused(404, "unknown_task", "there is no such task")
        return work(task)

    return await service.work.run(found, left_of(request, seconds or service.config.limits.deadline_s))


def _mine(task: Task, user: User) -> bool:
    """Whether a user may know of a task: who sent it may, and who sees all."""
    return task.user == user.name or user.access is None


def task_told(task: Task) -> dict[str, Any]:
    """A task as clients see it."""
    return {
        "id": task.id,
        "source": task.source,
        "bytes": task.bytes,
        "state": task.state,
        "stage": task.stage,
        "progress": task.share,
        "error": task.error or None,
        "report": task.report,
        "created": task.created,
        "changed": task.changed,
    }


PAGES = {"limit": "How many.", "offset": "How many to leave out before."}
ONE = "/v1/kb/{base}/documents"
TASKS = "/v1/kb/{base}/tasks"
ROUTES = [
    Route("GET", ONE, listed, "The documents that this key may see.", query=PAGES),
    Route("POST", ONE, uploaded, "Put files in: a task for each.", "write", form=True, status=202),
    Route("GET", f"{ONE}/{{document}}", shown, "A document."),
    Route("DELETE", f"{ONE}/{{document}}", removed, "Remove a document.", "write"),
    Route("GET", f"{ONE}/{{document}}/chunks", chunks, "The chunks of a document, in their order.", query=PAGES),
    Route("GET", TASKS, tasks, "What became of files that were put in, the last one first.", query=PAGES),
    Route("GET", f"{TASKS}/{{task}}", task, "What became of one."),
    Route("GET", f"{TASKS}/{{task}}/chunks", previewed, "The chunks that a file would have.", "write"),
    Route("POST", f"{TASKS}/{{task}}/index", indexed, "Take in a file that was held.", "write", status=202),
    Route("DELETE", f"{TASKS}/{{task}}", cancelled, "Do not take in a file that waits.", "write"),
]
