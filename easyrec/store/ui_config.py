"""The section `ui` of `store.yaml`: where the store's page is served, and to whom."""

from __future__ import annotations

from pydantic import ConfigDict, Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.loopback import is_loopback
from feature_generator.config import StrictModel

SHORTEST = 16


class UiConfig(StrictModel):
    """The section `ui`."""

    model_config = ConfigDict(hide_input_in_errors=True)

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8008, ge=0, le=65535)
    """0 takes a free one."""
    token: str | None = Field(None, repr=False)
    """`${ENV}`, at least 16 characters; who does not know it sees nothing."""
    stats: list[str] = []
    """Addresses of servers that read the store, such as `http://127.0.0.1:8010`; their `/stats` are shown."""
    stats_token: str | None = Field(None, repr=False)
    """`${ENV}`: what these servers are asked with."""

    @field_validator("token", mode="after")
    @classmethod
    def _long(cls, value: str | None) -> str | None:
        if value is not None and len(value) < SHORTEST:
            raise ValueError(f"must have at least {SHORTEST} characters")
        return value

    @field_validator("stats", mode="after")
    @classmethod
    def _addresses(cls, value: list[str]) -> list[str]:
        if not all(address.startswith(("http://", "https://")) for address in value):
            raise ValueError("must be addresses of http or https")
        return value

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if self.token is None and not self.local:
            raise ValueError(f"who reaches {self.host} would see the store: set a token")
        return self

    @property
    def local(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)
