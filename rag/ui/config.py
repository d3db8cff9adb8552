"""The section `ui` of `rag.yaml`: where the page for people is, and which server it asks."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.loopback import is_loopback
from feature_generator.config import StrictModel


def _key(value: Any) -> Any:
    """Its value is never told."""
    if value is not None and (not isinstance(value, str) or not value):
        raise ValueError("must be a text: write ${VARIABLE}")
    return value


class UiConfig(StrictModel):
    """Section `ui`."""

    model_config = ConfigDict(hide_input_in_errors=True)

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8041, ge=0, le=65535)
    """0 takes a free one."""
    server: str | None = None
    """The address of the server that it asks, as `http://127.0.0.1:8040`; default: the one of the section `server`."""
    key: Annotated[str | None, BeforeValidator(_key)] = Field(None, repr=False)
    """`${ENV}`: what the server is asked with until somebody gives a key of their own; only where no other machine reaches the page."""
    timeout_s: float = Field(300.0, gt=0.0)
    """How long an answer may take."""

    @field_validator("server", mode="after")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must be an address of http or https")
        return value.rstrip("/") if value is not None else None

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if self.key is not None and not is_loopback(self.host):
            raise ValueError(
                f"who reaches {self.host} would have the rights of 'key': leave it out, so that each gives their own"
            )
        return self
