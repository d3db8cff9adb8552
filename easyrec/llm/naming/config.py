"""`NamesConfig`: the table that holds the names, and how sure a name must be."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.llm.naming.scoring import Calibration
from easyrec.llm.naming.titles import TitlesConfig
from feature_generator.config import StrictModel, fault


class NamesConfig(StrictModel):
    """Names and their ids. A name is taken where its score and its lead over the next id are large enough."""

    path: str = Field(min_length=1)
    """A table of Parquet, CSV or JSON lines, with a row for each id."""
    id: str = Field("id", min_length=1)
    """Its column of ids."""
    name: str = Field("name", min_length=1)
    """Its column of names, by which ids are told."""
    aliases: list[str] = []
    """Columns of further names, texts or lists of them: other languages, synonyms."""
    parent: str | None = Field(None, min_length=1)
    """Its column of the names of what is above: texts, paths or lists of them. Tells names apart that stand in several places."""
    titles: TitlesConfig | None = None
    """Items, whose titles tell by which other words an id is known."""
    separator: str | None = Field(None, min_length=1, max_length=8)
    """What stands between the levels of names that are paths, as `>` in `Home > Kitchen`; default: names are no paths."""
    language: str | None = "english"
    """Whose plurals are alike; null: of none."""
    candidates: int = Field(8, ge=1, le=100)
    """Names that are looked at closely, of those that are near by words, by meaning and by letters each."""
    threshold: float | None = Field(None, ge=0.0, le=1.0)
    """The least score; default: that of the calibration."""
    margin: float | None = Field(None, ge=0.0, le=1.0)
    """The least lead over the next id; default: that of the calibration."""
    calibration: Calibration | None = None
    """What makes a score of how near names are; default: one of ours, with vectors or without. See `Names.calibrated`."""
    limit: int = Field(1_000_000, ge=1)
    """Names that the table may have."""

    @field_validator("separator", mode="after")
    @classmethod
    def _is_seen(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("must hold something else than spaces")
        return value

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        named = [self.id, self.name, *self.aliases, *([self.parent] if self.parent else [])]
        twice = sorted({name for name in named if named.count(name) > 1 and name != self.name})
        if twice:
            raise fault(f"column '{twice[0]}' is named twice", "aliases" if twice[0] in self.aliases else "parent")
        return self
