"""`entity`: who and what a chunk is about, with other names for it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from rag.enrichment.kinds import LONGEST, Form, KindConfig


class Entity(BaseModel):
    """Somebody or something."""

    name: str = Field(max_length=500)
    kind: str = Field(max_length=200)
    also: list[str] = Field(max_length=50)
    said: str = Field(max_length=4000)


class Entities(BaseModel):
    """What the model says."""

    entities: list[Entity] = Field(max_length=200)


class Config(KindConfig):
    """Config of `entity`."""

    type: Literal["entity"] = "entity"
    task: ClassVar[str] = (
        "List the people, organisations, products, places, rules and things with a name of their own that it tells something of, at most "
        "{count}, the most important first: the name, what kind of thing it is, other names for it (also: abbreviations, what people "
        "say instead), and in a short sentence what the excerpt says of it."
    )
    form: ClassVar[Form] = Entities
    count: int = Field(5, ge=1, le=50)
    """How many at most."""

    def texts(self, said: Any) -> list[str]:
        """A line for each."""
        found = []
        for one in said.entities[: self.count]:
            if one.name.strip():
                also = "".join(f", {name.strip()}" for name in one.also if name.strip())
                found.append(f"{one.name.strip()}{also} ({one.kind.strip()}): {one.said.strip()}"[:LONGEST])
        return found
