"""`explain`: why an item is recommended, in words that rest on what the user did himself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.llm.behaviour import BehaviourConfig
from easyrec.llm.events import Column
from easyrec.llm.templates import columns_of, template_of
from easyrec.llm.texts import TextsConfig
from feature_generator.config import StrictModel, fault

if TYPE_CHECKING:
    from easyrec.llm.asking import Asked
    from easyrec.llm.config import LlmConfig

SLOTS = ("event", "item")
"""What a template of ours names."""
MADE = ("text", "state", "cites", "cited", "synthetic", "source")
"""Columns that are made."""


class RecommendedConfig(StrictModel):
    """What is recommended to whom, a row for each."""

    path: str = Field(min_length=1)
    """A file of Parquet, CSV or JSON lines."""
    user: Column = "user_id"
    item: Column = "item_id"
    time: Column | None = None
    """When it was: only what the user did strictly before counts. Without it all of `events` count."""
    keep: list[Column] = []
    """Columns that stand in the output too, such as the request."""
    limit: int | None = Field(None, ge=1)
    """Only the first rows."""


class Config(StrictModel):
    """Section `explain` of `llm.yaml`."""

    recommended: RecommendedConfig
    items: TextsConfig
    """The items, and what is told of each."""
    events: BehaviourConfig
    """What users did; of a row only its own user's events are told."""
    title: str | None = Field(None, min_length=1, max_length=2000)
    """What `template` calls an item, of the columns of `items`: `{title}`; default: its text."""
    sentences: int = Field(2, ge=1, le=5)
    longest: int = Field(240, ge=20, le=2000)
    """Characters of an explanation."""
    language: str | None = "english"
    """Whose endings of words do not count where sentences are compared with events; null: none of any."""
    grounded: bool = True
    """Whether a sentence must have a word in common with each event that it cites."""
    template: str | None = "Because you chose {event}."
    """What is said where no sentence of the model can be: `{event}` is the nearest one by words, `{item}` the item. null: nothing."""
    about: str | None = Field(None, max_length=500)
    """What the shop is, or how it speaks, in a sentence that the model is told."""
    output: str = Field(min_length=1, pattern=r"\.parquet$")
    max_failed: float = Field(0.2, ge=0.0, le=1.0)
    """The share of questions that may have no answer."""

    @field_validator("title", mode="after")
    @classmethod
    def _of_columns(cls, value: str | None) -> str | None:
        return None if value is None else template_of(value)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name in [] if self.template is None else columns_of(template_of(self.template)):
            if name not in SLOTS:
                raise fault(f"'{{{name}}}' is nothing that it can name: {{event}} and {{item}} are", "template")
        own = self.recommended
        names = [*dict.fromkeys([own.user, own.item, *([own.time] if own.time else []), *own.keep]), *MADE]
        for place, name in enumerate(names):
            if name in names[:place]:
                raise fault(f"the output has a column '{name}' of ours", "recommended", "keep")
        return self


@dataclass(frozen=True)
class Explained:
    """What came of it.

    Attributes:
        asked: What was asked and what it took.
        rows: Of the output.
        by_model: Those that the model explains.
        by_template: Those that `template` explains.
        without: Those without an explanation: nothing is known of the user.
        sentences: That the model wrote.
        dropped: Of them, by why: `cites nothing`, `cites what was not shown`, `no word in common`, `too long`.
        unknown: Numbers of events that were not shown.
        output: The file.
        report: The content of `<output>.report.json`.
    """

    asked: Asked[Any]
    rows: int
    by_model: int
    by_template: int
    without: int
    sentences: int
    dropped: Mapping[str, int]
    unknown: int
    output: str
    report: Mapping[str, Any] = field(repr=False)


def explain(config: LlmConfig, own: Config, *, progress: Callable[[int], object] | None = None) -> Explained:
    """Ask a model why items are recommended, and write texts that cite the user's own events, with a report.

    Args:
        config: The models.
        own: The section.
        progress: Is told how many more questions are answered.

    Raises:
        ConfigError: A table lacks a column, or no model is named.
        DataError: A table cannot be read, or too many answers could not be used.
        ModelError: The model cannot be reached; what was answered is in its cache.
    """
    from easyrec.llm.tools._explain.run import run  # noqa: PLC0415 (a config must not wait for it)

    return run(config, own, progress=progress)
