"""`profile`: what a language model makes of the texts of items and of what users did, as columns of features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints, model_validator
from typing_extensions import Self

from easyrec.llm.behaviour import BehaviourConfig
from easyrec.llm.events import Column
from easyrec.llm.texts import TextsConfig
from feature_generator.config import StrictModel, fault

if TYPE_CHECKING:
    from easyrec.llm.asking import Asked
    from easyrec.llm.config import LlmConfig

Value = Annotated[str, StringConstraints(min_length=1, max_length=100)]
MADE = ("unsupported", "state", "synthetic", "source")
"""Columns that every profile has."""
OF_USERS = ("events", "until")
"""Those that users' have besides."""
UNKNOWN = "unknown"
"""What a model says of a choice that it cannot make; the column has null there."""


class FieldConfig(StrictModel):
    """A column, and what the model is told of it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    type: Literal["text", "list", "choice"] = "list"
    """`text`: some words; `list`: several values; `choice`: one of those that are allowed."""
    about: str = Field(min_length=1, max_length=2000)
    """What it is."""
    allowed: list[Value] = Field([], max_length=500)
    """The values there are; `list` without them is free."""
    count: int = Field(8, ge=1, le=100)
    """Values of a list at most."""
    longest: int | None = Field(None, ge=1, le=4000)
    """Characters of a text [300], or of a value of a list [40]."""
    grounded: bool | Literal["quoted"] = False
    """Whether only what was told may be claimed: all words of a value (half of those of a text) must stand in what was told. With
    `quoted` the model also names the place, and a value counts whose words do not stand there, but whose quote does."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if hasattr(BaseModel, self.name) or self.name.startswith("model_") or self.name in (*MADE, *OF_USERS):
            raise fault(f"'{self.name}' is a word of schemas and profiles: take another one", "name")
        if self.type == "choice" and len(self.allowed) < 2:
            raise fault("a choice needs two values at least", "allowed")
        if self.type == "text" and self.allowed:
            raise fault("a text is free: 'choice' and 'list' have values", "allowed")
        if self.type == "choice" and UNKNOWN in self.allowed:
            raise fault(f"'{UNKNOWN}' is what the model says where it cannot choose; it becomes null", "allowed")
        if len(set(self.allowed)) < len(self.allowed):
            raise fault("names a value twice", "allowed")
        if self.grounded and self.type == "choice":
            raise fault("a choice is the model's: its values are yours and need not stand in a text", "grounded")
        if self.grounded == "quoted" and self.type == "text":
            raise fault("a text has no single quote: write true", "grounded")
        return self

    @property
    def characters(self) -> int:
        """Of a text or value at most."""
        return self.longest or (300 if self.type == "text" else 40)


class Part(StrictModel):
    """A table of profiles."""

    output: str = Field(min_length=1, pattern=r"\.parquet$")
    fields: list[FieldConfig] = Field(min_length=1, max_length=30)
    limit: int | None = Field(None, ge=1)
    """Only the first ones."""

    @model_validator(mode="after")
    def _once(self) -> Self:
        names = [one.name for one in self.fields]
        for place, name in enumerate(names):
            if name in names[:place]:
                raise fault(f"two fields are called '{name}'", "fields", place, "name")
        return self


class ItemProfiles(Part):
    """Profiles of items."""

    keep: list[Column] = []
    """Columns of the items' table that stand in the output too."""


class UserProfiles(Part):
    """Profiles of users."""

    events: BehaviourConfig
    """What they did; the texts of its items are told, the oldest first."""
    least: int = Field(3, ge=1, le=1000)
    """Users with fewer events have no profile."""


class Config(StrictModel):
    """Section `profile` of `llm.yaml`."""

    items: TextsConfig
    """The items, and what is told of each."""
    of_items: ItemProfiles | None = None
    of_users: UserProfiles | None = None
    shop: str | None = Field(None, max_length=500)
    """What the shop is, in a sentence that the model is told."""
    language: str | None = "english"
    """Whose endings of words do not count where claims are compared with texts; null: none of any."""
    max_failed: float = Field(0.2, ge=0.0, le=1.0)
    """The share of questions that may have no answer."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.of_items is None and self.of_users is None:
            raise fault("needs 'of_items' or 'of_users': whose profiles are made", "of_items")
        if self.of_items is not None and self.of_users is not None and self.of_items.output == self.of_users.output:
            raise fault("is also where profiles of items are written", "of_users", "output")
        taken = [] if self.of_items is None else [self.items.id, *self.of_items.keep]
        for place, one in enumerate(self.of_items.fields if self.of_items is not None else []):
            if one.name in taken:
                raise fault(f"the output has a column '{one.name}' already", "of_items", "fields", place, "name")
        for place, one in enumerate(self.of_users.fields if self.of_users is not None else []):
            if self.of_users is not None and one.name == self.of_users.events.user:
                raise fault(f"the output has a column '{one.name}' already", "of_users", "fields", place, "name")
        return self


@dataclass(frozen=True)
class Profiled:
    """A table of profiles.

    Attributes:
        asked: What was asked and what it took.
        output: The file.
        rows: Of it.
        skipped: Users with too few events.
        claims: By field, how many values the model gave.
        unsupported: By field, how many of them do not stand in what was told; they were dropped.
        unknown: By field, how many rows have nothing there.
        examples: Some of the unsupported ones.
        report: The content of `<output>.report.json`.
    """

    asked: Asked[Any]
    output: str
    rows: int
    skipped: int
    claims: Mapping[str, int]
    unsupported: Mapping[str, int]
    unknown: Mapping[str, int]
    examples: Mapping[str, list[str]] = field(repr=False)
    report: Mapping[str, Any] = field(repr=False)


def profile(config: LlmConfig, own: Config, *, progress: Callable[[int], object] | None = None) -> dict[str, Profiled]:
    """Ask a model for profiles, and write them with a report beside each table.

    Args:
        config: The models.
        own: The section.
        progress: Is told how many more questions are answered.

    Returns:
        What came of `items` and `users`.

    Raises:
        ConfigError: A table lacks a column, or no model is named.
        DataError: A table cannot be read, or too many answers could not be used.
        ModelError: The model cannot be reached; what was answered is in its cache.
    """
    from easyrec.llm.tools._profile.run import run  # noqa: PLC0415 (a config must not wait for it)

    return run(config, own, progress=progress)
