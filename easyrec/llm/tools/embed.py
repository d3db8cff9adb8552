"""`embed`: texts of items and users as vectors, for rankers, matching, semantic ids and the feature store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.errors import ConfigError, nearest
from easyrec.llm.events import Column, Period
from easyrec.llm.templates import columns_of, template_of
from feature_generator.config import Choice, StrictModel, fault

if TYPE_CHECKING:
    from easyrec.llm.client import Usage
    from easyrec.llm.config import LlmConfig

Progress = Callable[[str, int], object]
"""Is told the name of a table and how many more of its texts are done."""
HISTORY = "history"
"""What a template calls the texts of what a user took last."""
MADE = ("vector", "scale")
"""Columns that are made."""


class Reduce(StrictModel):
    """How vectors get fewer numbers."""

    pca: int | None = Field(None, ge=1, le=16384)
    """So many principal components, learned of this table and kept beside its output for later rows."""
    whiten: bool = False
    """Whether components get the variance 1; needs `pca`."""
    truncate: int | None = Field(None, ge=1, le=16384)
    """The first so many numbers, for models that are trained to have their meaning there (Matryoshka)."""
    normalise: bool = True
    """Whether vectors have the length 1 in the end."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.pca is not None and self.truncate is not None:
            raise fault("vectors are either truncated or reduced by pca", "truncate")
        if self.whiten and self.pca is None:
            raise fault("needs 'pca': it says how many components there are", "whiten")
        return self


class History(Period):
    """What users took last."""

    items: str = Field(min_length=1)
    """The table, of those before this one, that the items stand in."""
    user: Column = "user_id"
    """The column of the user."""
    time: Column
    """The column that says when it happened."""
    label: Column | None = None
    """Only events count whose value here is above 0."""
    last: int = Field(20, ge=1, le=1000)
    """Items of a user that count, his newest."""
    joined: str = Field("; ", max_length=20)
    """What stands between their texts, the oldest first."""


class Near(Period):
    """A column with a statistic of the items that are nearest: the mean of a value over their events."""

    name: Column
    """The column; `<name>_similarity` beside it tells how near they are on average."""
    value: Column
    """The column whose mean is told, such as a click."""
    k: int = Field(20, ge=1, le=1000)
    """Items that count. A row's own item is never among them, so that no label comes back to its own row."""
    least: int = Field(10, ge=1)
    """Events that an item needs to count."""
    prior: float = Field(20.0, ge=0.0)
    """Weight of the mean over all events, in events, in the mean of each item."""
    index: Annotated[Any, Choice("easyrec.retrieval.indexes")] = Field({"type": "flat"}, validate_default=True)
    """What finds the nearest. Near is what has a large cosine, whatever `metric` says."""


class Into(StrictModel):
    """A view of the feature store."""

    config: str = Field(min_length=1)
    """The store's YAML."""
    view: str = Field(min_length=1)
    """A view of type embedding. Its other fields are columns of the output."""


class TableConfig(StrictModel):
    """A table of texts."""

    name: str = Field(min_length=1, max_length=80)
    """What it is called here."""
    output: str = Field(min_length=1, pattern=r"\.parquet$")
    """A file of Parquet: the ids, `keep`, and the lists `vector` of equal lengths."""
    path: str | None = Field(None, min_length=1)
    """A file of Parquet, which is read in pieces, CSV or JSON lines. Without it: the users of `history`."""
    id: Column
    """The column that tells rows apart."""
    text: str | None = Field(None, min_length=1, max_length=20_000)
    """The text of a row: `{column}` is the row's value, `{history}` are the texts of what the user took last. Without it the
    vector is the mean of the vectors of these items."""
    side: Literal["document", "query"] = "document"
    """As which the embedder takes texts."""
    longest: int = Field(8000, ge=16, le=1_000_000)
    """Characters of a text; of a longer one these are taken."""
    keep: list[Column] = []
    """Columns of the table that stand in the output too."""
    history: History | None = None
    """What users took last."""
    reduce: Reduce | None = None
    """How vectors get fewer numbers. Default: they stay, and have the length 1."""
    reduced_as: str | None = None
    """The table, of those before this one, whose reduction holds here too: vectors are compared in one space."""
    numbers: Literal["float32", "float16", "int8"] = "float32"
    """What vectors are written as; `int8` with the column `scale`, by which they are multiplied."""
    near: list[Near] = Field([], max_length=20)
    """Columns with statistics of the nearest items."""
    store: Into | None = None
    """Where vectors are published besides."""

    @field_validator("text", mode="after")
    @classmethod
    def _template(cls, value: str | None) -> str | None:
        return None if value is None else template_of(value)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        named = [] if self.text is None else columns_of(self.text)
        if self.text is None and self.history is None:
            raise fault("this key is required, unless 'history' says whose vectors are taken", "text")
        if HISTORY in named and self.history is None:
            raise fault("{history} needs the section 'history'", "text")
        if self.text is not None and self.history is not None and HISTORY not in named:
            raise fault("names no {history}, but there is a section 'history'", "text")
        if self.path is None:
            if self.history is None:
                raise fault("this key is required, unless 'history' says who the users are", "path")
            columns = [name for name in named if name not in (HISTORY, self.id)] + self.keep
            if columns:
                raise fault(f"column '{columns[0]}' needs a table", "path")
        if self.text is None and self.reduce is not None and (self.reduce.pca or self.reduce.truncate):
            raise fault("vectors of items are as short as these already", "reduce")
        if self.reduced_as is not None and (self.reduce is not None or self.text is None):
            raise fault("says what 'reduce', or the items' vectors, say already", "reduced_as")
        made = [
            *MADE,
            self.id,
            *self.keep,
            *(name for one in self.near for name in (one.name, f"{one.name}_similarity")),
        ]
        for place, name in enumerate(made):
            if name in made[:place]:
                raise fault(
                    f"two columns of the output are called '{name}'", "near" if place >= len(self.keep) + 3 else "keep"
                )
        return self

    @property
    def columns(self) -> list[str]:
        """Columns that are read of the table."""
        named = [] if self.text is None else columns_of(self.text)
        return list(dict.fromkeys([self.id, *(name for name in named if name != HISTORY), *self.keep]))


class Config(StrictModel):
    """Section `embed` of `llm.yaml`."""

    tables: list[TableConfig] = Field(min_length=1, max_length=100)
    """What is embedded, one after another."""
    cache: str = Field("vectors.db", min_length=1)
    """A file that keeps vectors by model and text: what was embedded once is not embedded, or paid for, again."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        known: dict[str, TableConfig] = {}
        for place, one in enumerate(self.tables):
            for key, name in (("reduced_as", one.reduced_as), ("history", one.history.items if one.history else None)):
                if name is not None and name not in known:
                    found = f"no table before this one is called '{name}'{nearest(name, known)}"
                    raise fault(found, "tables", place, *([key] if key == "reduced_as" else [key, "items"]))
            if one.history is not None and one.text is not None and known[one.history.items].history is not None:
                raise fault("has no texts of its own", "tables", place, "history", "items")
            if one.name in known:
                raise fault(f"two tables are called '{one.name}'", "tables", place, "name")
            if one.output in [other.output for other in known.values()]:
                raise fault(f"two tables are written to '{one.output}'", "tables", place, "output")
            known[one.name] = one
        return self

    def table(self, name: str) -> TableConfig:
        """The table of a name.

        Raises:
            ConfigError: There is none.
        """
        found = {one.name: one for one in self.tables}
        if name not in found:
            raise ConfigError(f"unknown table '{name}'{nearest(name, found)}; known: {', '.join(found)}")
        return found[name]


@dataclass(frozen=True)
class Embedded:
    """What became of a table.

    Attributes:
        name: Of the table.
        output: The file.
        rows: Rows that were read.
        empty: Those without a text, or without a known item; they have no vector.
        cut: Texts that were longer than they may be.
        given: Texts that the embedder was given.
        known: Texts that it was not given: they were known, or stood there twice.
        width: Numbers of a vector before it was reduced.
        dim: And then.
        explained: Share of the variance that is left; None without `pca`.
        spent: What the model's server was paid for by this run, as it counted; None where there is none.
        before: The same of runs that were stopped before this one, and had no report.
        cost: Of both, in money.
        model: Digest of embedder and reduction: equal ones can be compared.
        published: Rows in the feature store; None where there is no view.
        seconds: What it took.
    """

    name: str
    output: str
    rows: int
    empty: int
    cut: int
    given: int
    known: int
    width: int
    dim: int
    explained: float | None
    spent: Usage | None
    before: Usage | None
    cost: float
    model: str
    published: int | None
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


def embed(
    config: LlmConfig,
    own: Config,
    *,
    tables: list[str] | None = None,
    anew: bool = False,
    progress: Progress | None = None,
) -> list[Embedded]:
    """Embed the tables of a config. What was embedded before, also by a run that was killed, is not embedded again.

    Args:
        config: Says what embeds.
        own: Its section `embed`.
        tables: Only these, by name.
        anew: Learn reductions again, instead of those beside outputs that are there.
        progress: Is told what is done.

    Raises:
        ConfigError: A table lacks a column, or was reduced in another way before.
        DataError: Rows cannot be read, an id is missing or there twice, or texts are too few to learn from.
        BudgetError: It might cost more than is left; the next run goes on.
        ModelError: The model's server cannot be asked.
    """
    from easyrec.llm.tools._embed.run import Run  # noqa: PLC0415 (a config needs none of it)

    chosen = [own.table(name) for name in tables] if tables else own.tables
    with Run(config, own, anew=anew, progress=progress) as run:
        return [run.embedded(one) for one in chosen]
