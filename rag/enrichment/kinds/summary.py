"""`summary`: a chunk in a few words; long and winding ones, and tables, are found by it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from rag.enrichment.kinds import LONGEST, Form, KindConfig


class Summary(BaseModel):
    """What the model says."""

    summary: str = Field(max_length=20_000)


class Config(KindConfig):
    """Config of `summary`."""

    type: Literal["summary"] = "summary"
    task: ClassVar[str] = (
        "Say in at most {sentences} sentences what the excerpt is about and what it says, with the names and numbers that matter."
    )
    form: ClassVar[Form] = Summary
    min_tokens: int = Field(64, ge=1)
    sentences: int = Field(2, ge=1, le=20)
    """At most."""

    def texts(self, said: Any) -> list[str]:
        """The summary."""
        return [said.summary.strip()[:LONGEST]] if said.summary.strip() else []
