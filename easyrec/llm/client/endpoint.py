"""`Endpoint`: which model is asked, where, how fast, and for how much money."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator
from typing_extensions import Self

from easyrec.errors import ConfigError
from feature_generator.config import StrictModel

Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Price(StrictModel):
    """What a million tokens cost, in whatever money the budget is."""

    input: float = Field(ge=0.0)
    """Of what is sent."""
    output: float = Field(0.0, ge=0.0)
    """Of what comes back."""
    cached: float | None = Field(None, ge=0.0)
    """Of what is sent and the server says that it had already; default: like the rest."""


class Budget(StrictModel):
    """What the calls of one client may cost together. A call that might go over it is not sent."""

    tokens: int | None = Field(None, ge=1)
    """Sent and received."""
    money: float | None = Field(None, gt=0.0)
    """By `price`."""


class Endpoint(StrictModel):
    """A model behind the HTTP interface that its makers share: `/chat/completions`, `/embeddings`, `/rerank`."""

    base_url: str = Field(min_length=1)
    """Where it is, up to the version: `http://127.0.0.1:8080/v1`."""
    model: str = Field(min_length=1)
    """Which model is asked there."""
    key_env: Variable | None = None
    """The environment variable that holds the key; the key itself is never written into a config."""
    timeout_s: float = Field(60.0, gt=0.0)
    """How long one try may take until its answer begins, and then between two pieces of it."""
    connect_s: float = Field(5.0, gt=0.0)
    """How long it may take to reach the server."""
    patience_s: float = Field(300.0, gt=0.0)
    """How long a call may take with all of its tries."""
    tries: int = Field(5, ge=1, le=100)
    """How often a call is sent at most, where the server is busy, broken or not to be reached."""
    first_wait_s: float = Field(0.5, gt=0.0)
    """Before the second try, at most; the wait doubles with each, and is drawn below that."""
    longest_wait_s: float = Field(30.0, gt=0.0)
    """Between two tries, whatever the server asks for."""
    concurrency: int = Field(8, ge=1, le=4096)
    """Calls at a time."""
    requests_per_minute: float | None = Field(None, gt=0.0)
    tokens_per_minute: float | None = Field(None, gt=0.0)
    answer_bytes: int = Field(64 << 20, ge=1024)
    """Larger answers are not read."""
    max_tokens: int = Field(1024, ge=1)
    """Of an answer, unless the call says otherwise; it is what a call reserves of the budget."""
    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"  # noqa: S105 (a name)
    """What this server calls that limit."""
    json_by: Literal["schema", "object", "prompt"] = "schema"
    """How it is made to answer in JSON: by a schema it enforces, as some object, or by being told alone."""
    batch: int = Field(64, ge=1, le=4096)
    """Texts in one request for embeddings, or documents in one for ranks."""
    price: Price | None = None
    budget: Budget = Budget()
    cache: str | None = Field(None, min_length=1)
    """A file that keeps answers by what was asked, so that nothing is paid for twice."""

    @field_validator("base_url", mode="after")
    @classmethod
    def _is_address(cls, value: str) -> str:
        scheme, _, rest = value.partition("://")
        if scheme not in ("http", "https") or not rest or rest.startswith("/"):
            raise ValueError(f"is no address: '{value}'; it begins with http:// or https://")
        if "@" in rest.partition("/")[0]:
            raise ValueError("holds a password; name its variable by 'key_env'")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _has_a_price(self) -> Self:
        if self.budget.money is not None and self.price is None:
            raise ValueError("'budget.money' needs 'price'")
        return self

    def key(self) -> str | None:
        """The key, or None where none is needed.

        Raises:
            ConfigError: Its variable is not set.
        """
        if self.key_env is None:
            return None
        value = os.environ.get(self.key_env, "").strip()
        if not value:
            raise ConfigError(f"environment variable '{self.key_env}' is not set: it holds the key of {self.base_url}")
        return value
