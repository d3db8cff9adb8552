"""`augment`: who would take an item that nobody has taken yet, as a language model sees it: rows for training, marked synthetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from easyrec.llm.behaviour import BehaviourConfig
from easyrec.llm.events import Column
from easyrec.llm.texts import TextsConfig
from feature_generator.config import StrictModel, fault

if TYPE_CHECKING:
    from easyrec.llm.asking import Asked
    from easyrec.llm.config import LlmConfig

MADE = ("pair", "synthetic", "source")
"""Columns that are made."""


class Config(StrictModel):
    """Section `augment` of `llm.yaml`."""

    items: TextsConfig
    """The items, and what is told of each."""
    events: BehaviourConfig
    """What users did: it says which items are cold, who the users are, and what they like."""
    profiles: TextsConfig | None = None
    """Users, and what is told of each, such as the output of `profile`; else the texts of what they took last."""
    below: int = Field(5, ge=1)
    """Items with fewer events than this are cold."""
    least: int = Field(3, ge=1)
    """Users with fewer events are not asked about."""
    how: Literal["listwise", "pairwise"] = "listwise"
    """`listwise`: who of several users would take the item; `pairwise`: which of two cold items a user would rather take, asked in
    both orders."""
    by: Literal["words", "vectors", "drawn"] = "words"
    """How the users that are asked about are found: by words that their texts share with the item's, by vectors (needs `embedder`), or
    by chance."""
    users: int = Field(10, ge=2, le=50)
    """Users that are asked about for each item."""
    both_orders: bool = False
    """Listwise: each list is also shown turned round, and only users count who are named both times."""
    per_item: int = Field(3, ge=1, le=50)
    """Rows of an item at most."""
    per_user: int = Field(5, ge=1, le=10_000)
    """Rows of a user at most."""
    weight: float = Field(0.3, gt=0.0, le=1.0)
    """What a row counts in training, where an event that happened counts 1."""
    label: Column = "label"
    weight_column: Column = "sample_weight"
    """What the columns are called."""
    longest: int = Field(600, ge=20, le=20_000)
    """Characters of what is told of a user."""
    limit: int | None = Field(None, ge=1)
    """Only so many cold items, the first ones of the table."""
    output: str = Field(min_length=1, pattern=r"\.parquet$")
    """A row for each user and item: `label`, `sample_weight`, `synthetic` (always true), `source`."""
    max_failed: float = Field(0.2, ge=0.0, le=1.0)
    """The share of questions that may have no answer."""
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        names = [self.events.user, self.events.item, self.events.time, self.label, self.weight_column, *MADE]
        for place, name in enumerate(names):
            if name in names[:place]:
                raise fault(
                    f"two columns of the output are called '{name}'", "label" if name == self.label else "weight_column"
                )
        if self.how == "pairwise" and self.both_orders:
            raise fault("is of 'listwise': pairs are asked in both orders anyway", "both_orders")
        if self.per_item > self.users:
            raise fault(f"only {self.users} 'users' are asked about", "per_item")
        return self


@dataclass(frozen=True)
class Augmented:
    """What came of it.

    Attributes:
        asked: What was asked and what it took.
        cold: Items that were asked about.
        users: Users that there are to ask about.
        named: Users (pairwise: items) that the model chose.
        unknown: Numbers that were not shown.
        doubled: Numbers that came again.
        turned: Choices that an answer in the other order did not repeat.
        over: Choices that were over a bound.
        rows: That were written.
        items: Items that have some.
        output: The file.
        report: The content of `<output>.report.json`.
    """

    asked: Asked[Any]
    cold: int
    users: int
    named: int
    unknown: int
    doubled: int
    turned: int
    over: int
    rows: int
    items: int
    output: str
    report: Mapping[str, Any] = field(repr=False)


def augment(config: LlmConfig, own: Config, *, progress: Callable[[int], object] | None = None) -> Augmented:
    """Ask a model who would take cold items, and write what it says as rows for training, with a report.

    Args:
        config: The models.
        own: The section.
        progress: Is told how many more questions are answered.

    Raises:
        ConfigError: A table lacks a column, or no model is named.
        DataError: A table cannot be read, no item is cold, no user has events enough, or too many answers could not be used.
        ModelError: The model cannot be reached; what was answered is in its cache.
    """
    from easyrec.llm.tools._augment.run import run  # noqa: PLC0415 (a config must not wait for it)

    return run(config, own, progress=progress)
