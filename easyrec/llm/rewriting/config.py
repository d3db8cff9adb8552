"""Section `rewrite` of `llm.yaml`: whose queries are rewritten, by which examples, and which rewrites are taken."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from easyrec.llm.client.endpoint import Variable
from easyrec.loopback import is_loopback
from feature_generator.config import StrictModel

Column = Field(None, min_length=1)


class QueriesConfig(StrictModel):
    """A table of what people search, a row for each query. Parquet, CSV or JSON lines, like all tables of this section."""

    path: str = Field(min_length=1)
    query: str = Field("query", min_length=1)
    """Its column of queries."""
    category: str | None = Column
    """Its column of their categories, where it has one."""
    brand: str | None = Column
    """Its column of the brands that they name, where it has one."""
    count: str | None = Column
    """Its column of how often each was searched; default: the first rows are the head."""


class ExamplesConfig(StrictModel):
    """A table of rewrites that were clicked or bought, a row for each pair of a query and a rewrite."""

    path: str = Field(min_length=1)
    query: str = Field("query", min_length=1)
    rewrite: str = Field("rewrite", min_length=1)
    category: str | None = Column
    count: str | None = Column
    """Its column of how often that was; more is better."""
    shots: int = Field(4, ge=0, le=50)
    """Examples that a model is shown with a query."""
    rewrites: int = Field(3, ge=1, le=20)
    """Rewrites of each, those with the most clicks."""
    by: Literal["vectors", "words", "both"] | None = None
    """How they are found; default: by vectors where there is an `embedder`, else by words."""
    diversity: float = Field(0.3, ge=0.0, le=1.0)
    """How unlike each other they are: at 0 the nearest ones are shown."""


class BidWordsConfig(StrictModel):
    """A table of the words that advertisers pay for."""

    path: str = Field(min_length=1)
    bid_word: str = Field("bid_word", min_length=1)
    shown: int = Field(20, ge=0, le=200)
    """So many of those that share most words with a query are shown to the model."""


class FiltersConfig(StrictModel):
    """Which rewrites are taken. Each that is not is counted by the first rule that it breaks."""

    brand: Literal["same", "no_other", "any"] = "no_other"
    """Brands it may name: those of the query and all of them (`same`), none but those (`no_other`), or `any`."""
    category: Literal["same", "no_other", "any"] = "no_other"
    """Likewise its category. `same` also asks the known queries that are nearest, since few rewrites name one."""
    low: float | None = Field(None, ge=-1.0, le=1.0)
    """The least cosine of its vector and the query's; default: 0.5 where there is an `embedder`."""
    high: float | None = Field(None, ge=-1.0, le=1.0)
    """The largest one; default: there is none."""
    bid_word: Literal["exact", "normalised", "words"] | None = None
    """It must be a bid word: letter by letter, but for case, accents and marks, or with the same words in any order and number;
    null: it need not be one."""
    words: int = Field(12, ge=1, le=100)
    """It may have."""
    characters: int = Field(100, ge=1, le=1000)
    """It may have."""

    @model_validator(mode="after")
    def _room_between(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"'low' is {self.low:g} and above 'high', which is {self.high:g}")
        return self


class OnlineConfig(StrictModel):
    """How queries are rewritten while people search."""

    deadline_ms: float = Field(150.0, gt=0.0)
    """So long a request waits for the model; what is later is there for the next one."""
    ttl_s: float = Field(7 * 86400.0, gt=0.0)
    """How long rewrites are kept."""
    failed_ttl_s: float = Field(3600.0, gt=0.0)
    """How long it is kept that there were none: the model is not asked again before."""
    entries: int = Field(1_000_000, ge=1)
    """Queries that are kept, the latest ones."""
    waiting: int = Field(64, ge=1, le=10_000)
    """Queries that the model is asked about at a time; beyond, it is not asked."""
    pause_s: float = Field(5.0, ge=0.0)
    """How long a model is left alone that could not be reached, or has no budget left."""
    threads: int = Field(2, ge=1, le=64)
    """That choose examples and make vectors."""


class ServeConfig(StrictModel):
    """Where they are asked for over HTTP. It answers nobody else's pages, and only who has the key."""

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8060, ge=0, le=65535)
    """0 takes a free one."""
    key_env: Variable | None = None
    """The environment variable that holds the key which requests carry, `Authorization: Bearer ...`; 16 characters at least."""
    queue: int = Field(1024, ge=1, le=100_000)
    """Requests that are waited with; further ones are answered 429."""

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        if self.key_env is None and not is_loopback(self.host):
            raise ValueError(f"'key_env' is needed where others reach it, as at '{self.host}': questions cost money")
        return self


class RewriteConfig(StrictModel):
    """Section `rewrite` of `llm.yaml`."""

    queries: QueriesConfig
    output: str = Field(min_length=1)
    """The file of Parquet that is written; reports and rejects lie beside it."""
    folder: str | None = Field(None, min_length=1)
    """For vectors, and what was made while people searched; default: beside the output, `<its name>.kept`."""
    examples: ExamplesConfig | None = None
    bid_words: BidWordsConfig | None = None
    shop: str = Field("a shop that sells many kinds of goods", min_length=1, max_length=1000)
    """Where people search, in words that a model understands."""
    rewrites: int = Field(5, ge=1, le=20)
    """Rewrites that are asked for, of each query."""
    head: int = Field(1000, ge=1, le=1_000_000)
    """Queries that are rewritten ahead, the most frequent ones."""
    language: str | None = "english"
    """Whose endings are cut off where words are compared; null: of none."""
    temperature: float = Field(0.0, ge=0.0, le=2.0)
    max_failed: float = Field(0.2, ge=0.0, le=1.0)
    """Share of queries of which the model may say nothing that can be used, before the command fails."""
    filters: FiltersConfig = FiltersConfig()
    online: OnlineConfig = OnlineConfig()
    serve: ServeConfig = ServeConfig()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.filters.bid_word is not None and self.bid_words is None:
            raise ValueError("'filters.bid_word' needs 'bid_words': they say what advertisers pay for")
        return self
