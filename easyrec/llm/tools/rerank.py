"""`rerank`: a language model puts a ranker's candidates in order, beside the ranker, chance and popularity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator
from typing_extensions import Self

from easyrec.llm.behaviour import BehaviourConfig
from easyrec.llm.events import Column
from easyrec.llm.ranking.ways import Listwise, Way
from easyrec.llm.texts import Template, TextsConfig
from feature_generator.config import StrictModel, fault

if TYPE_CHECKING:
    from easyrec.llm.asking import Asked
    from easyrec.llm.config import LlmConfig


class CandidatesConfig(StrictModel):
    """Requests and their candidates, a row for each candidate."""

    path: str = Field(min_length=1)
    """A file of Parquet, CSV or JSON lines."""
    request: Column = "request_id"
    """The column that tells requests apart."""
    item: Column = "item_id"
    score: Column | None = "score"
    """The ranker's score, larger is better; null: the order of the rows is the ranker's."""
    label: Column | None = None
    """What came of it: above 0 the item was taken; needed where orders are compared."""
    user: Column | None = None
    """The user; needed where `events` say what he took."""
    time: Column | None = None
    """When the request was: only what the user took strictly before counts. Without it all of `events` count."""
    query: Template | None = None
    """What is searched, of the columns of a request's first row: `{column}`."""
    limit: int | None = Field(None, ge=1)
    """Only so many requests, drawn by `seed`."""
    most: int = Field(100, ge=2, le=1000)
    """Candidates of a request that are put in order, the ranker's best; the others follow."""


class ShotsConfig(StrictModel):
    """Requests whose outcome is known, which the model is shown before each question."""

    path: str = Field(min_length=1)
    """A table with the columns of `candidates`, with labels. It must be of other, earlier requests."""
    count: int = Field(2, ge=1, le=10)
    """How many are shown."""
    candidates: int = Field(10, ge=2, le=100)
    """Candidates of each, what was taken among them."""


class Config(StrictModel):
    """Section `rerank` of `llm.yaml`."""

    candidates: CandidatesConfig
    items: TextsConfig
    """The items, and what is told of each."""
    events: BehaviourConfig | None = None
    """What users did, which is told before the candidates, and how popular items are."""
    how: Way = Field(Listwise(), validate_default=True)
    """How the model is asked."""
    shots: ShotsConfig | None = None
    """Examples; without them the model is asked with none."""
    about: str | None = Field(None, max_length=500)
    """What the candidates are, in a sentence that the model is told."""
    output: str = Field(min_length=1, pattern=r"\.parquet$")
    """Where orders are written: a row for each candidate."""
    at: list[Annotated[int, Field(ge=1, le=1000)]] = Field([5, 10], min_length=1, max_length=10)
    """How many of the first ones the measures look at."""
    draws: int = Field(20, ge=1, le=1000)
    """Random orders of a request whose mean stands for chance."""
    level: float = Field(0.95, gt=0.5, lt=1.0)
    """How often intervals hold the true value."""
    max_failed: float = Field(0.2, ge=0.0, le=1.0)
    """The share of questions that may have no answer."""
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        own = self.candidates
        if self.events is not None and own.user is None:
            raise fault("this key is required, for 'events' say what users took", "candidates", "user")
        if self.shots is not None and own.label is None:
            raise fault("this key is required, for 'shots' show what was taken", "candidates", "label")
        if self.events is None and own.query is None:
            raise fault("needs 'events', or 'query' of the candidates: else nothing says what is wanted", "events")
        return self


@dataclass(frozen=True)
class Reranked:
    """What came of it.

    Attributes:
        asked: What was asked and what it took.
        requests: Requests that were put in order.
        kept: Those of which the model said nothing; their order is the ranker's.
        missing: Candidates that answers did not name.
        doubled: Names that came twice.
        unknown: Numbers that were not shown.
        tokens: By request, sent and received, of what was asked in this run.
        cost: By request, in money.
        measures: By system (`ranker`, `model`, `random`, `popular`) and measure: mean and interval; None without labels.
        differences: By other system and measure: model minus it.
        bias: How places in the prompt moved answers.
        output: The file.
        report: The content of `<output>.report.json`.
    """

    asked: Asked[Any]
    requests: int
    kept: int
    missing: int
    doubled: int
    unknown: int
    tokens: tuple[float, float]
    cost: float
    measures: Mapping[str, Mapping[str, Any]] | None
    differences: Mapping[str, Mapping[str, Any]] | None
    bias: Mapping[str, Any]
    output: str
    report: Mapping[str, Any] = field(repr=False)


def rerank(config: LlmConfig, own: Config, *, progress: Callable[[int], object] | None = None) -> Reranked:
    """Let a model put candidates in order, and compare it with the ranker where labels say what was taken.

    Args:
        config: The models.
        own: The section.
        progress: Is told how many more questions are answered.

    Raises:
        ConfigError: A table lacks a column, or no model is named.
        DataError: A table cannot be read, or too many answers could not be used.
        ModelError: The model cannot be reached; what was answered is in its cache.
    """
    from easyrec.llm.tools._rerank.run import run  # noqa: PLC0415 (a config must not wait for it)

    return run(config, own, progress=progress)
