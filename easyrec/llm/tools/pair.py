"""`pair`: which categories go together, as a language model knows the world, mapped to the ids of a shop's own categories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator
from typing_extensions import Self

from easyrec.llm.naming.config import NamesConfig
from feature_generator.config import StrictModel, fault

if TYPE_CHECKING:
    from easyrec.llm.asking import Asked
    from easyrec.llm.config import LlmConfig
    from easyrec.llm.tools._pair.lift import Lift

Kind = Literal["complement", "substitute"]
Told = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Column = Annotated[str, Field(min_length=1, max_length=200)]


class Example(StrictModel):
    """What the model is shown of how to answer."""

    category: Told
    paired: list[Told] = Field(min_length=1, max_length=20)
    """What goes with it, the best first."""
    reasons: list[Told] = []
    """Why, one for each."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.reasons and len(self.reasons) != len(self.paired):
            raise fault(f"has {len(self.reasons)} reasons for {len(self.paired)} names", "reasons")
        return self


class Events(StrictModel):
    """What users bought, or took in another way."""

    path: str = Field(min_length=1)
    """A table of Parquet, CSV or JSON lines, with a row for each purchase."""
    user: Column = "user_id"
    item: Column = "item_id"
    time: Column = "timestamp"
    """Its columns; times are numbers, dates or timestamps."""


class Items(StrictModel):
    """The catalogue's items."""

    path: str = Field(min_length=1)
    """A table of Parquet, CSV or JSON lines, with a row for each item."""
    item: Column = "item_id"
    category: Column = "category"
    """The column of the ids that `names` has."""
    popularity: Column | None = None
    """A column of numbers; the larger, the more popular. Default: how often an item is in `events`, else all are alike."""


class Recall(StrictModel):
    """The table that the engine's source `item_to_item` reads: for each item the popular ones of the paired categories."""

    output: str = Field(min_length=1, pattern=r"\.parquet$")
    kinds: list[Kind] = Field(["complement"], min_length=1)
    """Of which pairs it is made."""
    per_pair: int = Field(10, ge=1, le=1000)
    """Items of a paired category."""
    each: int = Field(50, ge=1, le=10_000)
    """Neighbours of an item at most."""
    rows: int = Field(50_000_000, ge=1)
    """It may not have more."""


class Evaluation(StrictModel):
    """How `--evaluate` measures pairs by what users bought afterwards."""

    held_out: float = Field(0.2, gt=0.0, lt=1.0)
    """The share of the events, the newest, that is looked for."""
    recent: int = Field(10, ge=1, le=1000)
    """Of a user's categories before that, his newest, whose pairs are looked at."""
    draws: int = Field(20, ge=1, le=1000)
    """How often random pairs are drawn."""
    seed: int = 0


class Config(StrictModel):
    """Section `pair` of `llm.yaml`."""

    output: str = Field(min_length=1, pattern=r"\.parquet$")
    """Where pairs are written: `category`, `paired`, `kind`, `score`, `reason`, and how they came about."""
    names: NamesConfig
    """The categories, and how what the model calls them is mapped to their ids."""
    kinds: list[Kind] = Field(["complement"], min_length=1)
    """What is asked for: what is bought besides, or instead."""
    count: int = Field(8, ge=1, le=50)
    """Names of each kind that the model is asked for."""
    shop: str | None = Field(None, max_length=500)
    """What the shop is, in a sentence that the model is told."""
    examples: list[Example] | None = Field(None, max_length=20)
    """Shown to the model for complements; default: three of ours, and none of a category that is asked about."""
    confidence: bool = True
    """Whether the model also says how sure it is; else pairs count by their order alone."""
    symmetric: bool = False
    """Whether what goes with a category also has that category go with it."""
    least: float = Field(0.0, ge=0.0, le=1.0)
    """Pairs with a smaller score are dropped."""
    max_failed: float = Field(0.2, ge=0.0, le=1.0)
    """The share of questions that may have no answer."""
    limit: int | None = Field(None, ge=1)
    """Only the first categories of the table."""
    items: Items | None = None
    recall: Recall | None = None
    """Needs `items`."""
    events: Events | None = None
    """For popularity, and for `--evaluate`; needs `items`."""
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name in ("recall", "events"):
            if getattr(self, name) is not None and self.items is None:
                raise fault("needs 'items': it says which category an item is of", name)
        if self.recall is not None and (lacking := [kind for kind in self.recall.kinds if kind not in self.kinds]):
            raise fault(f"no '{lacking[0]}' is asked for: add it to 'kinds' of the section", "recall", "kinds")
        if self.recall is not None and self.recall.output == self.output:
            raise fault("is also where pairs are written", "recall", "output")
        return self


@dataclass(frozen=True)
class Pairing:
    """What came of it.

    Attributes:
        asked: By kind, what was asked and what it took.
        names: How many names the model gave, by how they were mapped or why not.
        own: Names that were the category itself.
        twice: Names that meant what another one of the same answer meant.
        weak: Pairs below `least`.
        pairs: Pairs that were written.
        categories: Categories that have one.
        rejected: Names that were mapped to none, with how often, the most frequent first.
        rows: Of the recall table.
        lift: What pairs are worth by what users bought.
        report: The content of `<output>.report.json`.
    """

    asked: Mapping[str, Asked[Any]]
    names: Mapping[str, int]
    own: int
    twice: int
    weak: int
    pairs: int
    categories: int
    rejected: list[tuple[str, int]]
    rows: int | None
    lift: Lift | None
    report: Mapping[str, Any]


def pair(
    config: LlmConfig,
    own: Config,
    *,
    evaluate: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Pairing:
    """Ask a model which categories go together, and write pairs, a recall table and a report.

    Args:
        config: The models.
        own: The section.
        evaluate: Whether pairs are measured by the events of the section.
        progress: Is told how many more questions are answered.

    Raises:
        ConfigError: A table lacks a column, or no model is named.
        DataError: A table cannot be read, or too many answers could not be used.
        ModelError: The model cannot be reached; what was answered is in its cache.
    """
    from easyrec.llm.tools._pair.run import run  # noqa: PLC0415 (a config must not wait for it)

    return run(config, own, evaluate=evaluate, progress=progress)
