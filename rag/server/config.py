"""The section `server` of `rag.yaml`: where knowledge bases are served, to whom, and within which limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, field_validator, model_validator
from typing_extensions import Self

from easyrec.loopback import is_loopback
from feature_generator.config import StrictModel

SHORTEST = 16
Right = Literal["read", "write", "admin"]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}$")]
"""What may name users and whom documents are for: it stands in logs and filters."""


def _secret(value: Any) -> str:
    """Its value is never told."""
    if not isinstance(value, str) or len(value) < SHORTEST:
        raise ValueError(f"must be a text of at least {SHORTEST} characters: write ${{VARIABLE}}")
    return value


class Quota(StrictModel):
    """How much a user may ask for and keep; None: as much as they like."""

    requests_per_minute: float | None = Field(None, gt=0.0)
    """Of any kind but health."""
    tokens_per_minute: float | None = Field(None, gt=0.0)
    """Of the language model, sent and received."""
    documents: int | None = Field(None, ge=0)
    """That they have put in and are still there."""
    bytes: int | None = Field(None, ge=0)
    """Of these documents' files."""


class UserConfig(StrictModel):
    """Somebody who holds a key."""

    model_config = ConfigDict(hide_input_in_errors=True)

    name: Name
    key: Annotated[str, BeforeValidator(_secret)] = Field(repr=False)
    """`${ENV}`, at least 16 characters: sent as `Authorization: Bearer ...`."""
    rights: list[Right] = Field(["read"], min_length=1)
    """`read`: search and ask; `write`: put documents in, change and remove them; `admin`: make and remove knowledge bases too."""
    access: list[Name] | Literal["all"] = []
    """Whom documents may be for that they see, beside those for everybody."""
    bases: list[str] | None = None
    """The knowledge bases that there are for them; default: all."""
    quota: Quota | None = None
    """Default: that of the server."""

    def may(self, right: Right) -> bool:
        """Whether they have a right; an admin has all, and who writes may read."""
        return right in self.rights or "admin" in self.rights or (right == "read" and "write" in self.rights)


class LimitsConfig(StrictModel):
    """Bounds on requests, kept before anything is worked on."""

    body_bytes: int = Field(2 << 20, ge=1024, le=1 << 30)
    """Of a body that is no upload."""
    json_depth: int = Field(16, ge=3, le=512)
    """Levels of lists and objects inside each other."""
    body_timeout_s: float = Field(30.0, gt=0.0)
    """Between two parts of a body."""
    file_bytes: int = Field(64 << 20, ge=1)
    """Of a file."""
    files: int = Field(20, ge=1, le=10_000)
    """In an upload."""
    upload_timeout_s: float = Field(600.0, gt=0.0)
    """How long an upload may take."""
    uploads: int = Field(16, ge=1, le=1024)
    """That come at a time; further ones are answered 429."""
    waiting_tasks: int = Field(1000, ge=1)
    """Files that wait to be taken in; further uploads are answered 429."""
    question_characters: int = Field(8000, ge=1)
    messages: int = Field(100, ge=1, le=200)
    """In a talk; of longer ones the latest are read, and of more than ten times as many none."""
    images: int = Field(4, ge=0)
    """With a question."""
    k: int = Field(100, ge=1, le=1000)
    """Chunks that a search may ask for."""
    deadline_s: float = Field(30.0, gt=0.0)
    """Of a search and of whatever else is no answer."""
    answer_s: float = Field(300.0, gt=0.0)
    """Of an answer."""
    threads: int = Field(8, ge=1, le=256)
    """Requests that are worked on at a time, answers aside."""
    answers: int = Field(16, ge=1, le=1024)
    """Answers that are being given at a time."""
    queue: int = Field(64, ge=0)
    """Requests of each of the two kinds that may wait; further ones are answered 429."""
    page_pixels: int = Field(1600, ge=200, le=4000)
    """Of the longer side of a page's picture."""


class LogConfig(StrictModel):
    """What is written to stderr, a JSON object a line: no questions, no answers, no keys."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    requests: bool = True
    """Whether each request gets a line."""


class ServerConfig(StrictModel):
    """Section `server`."""

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8040, ge=0, le=65535)
    """0 takes a free one."""
    root: str = Field("bases", min_length=1)
    """The folder of all knowledge bases, of the files that were put in, and of what is to become of them."""
    users: list[UserConfig] = []
    """Who may ask. Without any, everybody on this machine may do everything."""
    quota: Quota = Quota()
    """Of users who have none of their own."""
    limits: LimitsConfig = LimitsConfig()
    log: LogConfig = LogConfig()
    workers: int = Field(1, ge=1, le=32)
    """Files that are taken in at a time, each of another knowledge base."""
    open: int = Field(32, ge=1)
    """Knowledge bases that are held open; those that nobody asks are closed first."""
    drain_s: float = Field(30.0, ge=0.0)
    """How long running requests may take after SIGTERM."""
    keep_tasks: int = Field(10_000, ge=100)
    """Tasks that are remembered when they are done."""

    @field_validator("users", mode="after")
    @classmethod
    def _distinct(cls, value: list[UserConfig]) -> list[UserConfig]:
        for what in ("name", "key"):
            told = [getattr(user, what) for user in value]
            if len(told) > len(set(told)):
                raise ValueError(f"two users have one {what}")
        return value

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if not self.users and not is_loopback(self.host):
            raise ValueError(f"who reaches {self.host} could read and change everything: say who may, in 'users'")
        return self
