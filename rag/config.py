"""`rag.yaml`: a knowledge base, how it is searched, and who answers."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.llm.client import Endpoint
from easyrec.llm.templates import template_of
from easyrec.retrieval.filters import NAME
from feature_generator.config import Choice, StrictModel, faults, member, read_config, validate
from rag.enrichment.config import EnrichmentConfig
from rag.evaluation.config import EvaluationConfig
from rag.fusion import Fusion, MinMax
from rag.pipeline.wiring import FAMILY, faults_of, lacking
from rag.server.config import ServerConfig
from rag.steps import StepConfig
from rag.ui.config import UiConfig


class SearchConfig(StrictModel):
    """How chunks are found."""

    mode: Literal["hybrid", "vector", "keyword"] = "hybrid"
    """By words and by vectors, or by one of them alone."""
    k: int = Field(5, ge=1, le=1000)
    """How many are wanted."""
    candidates: int = Field(100, ge=1, le=10_000)
    """How many each of the two finds, of which the best are taken."""
    fusion: Fusion = MinMax()
    """How the two lists become one."""
    reranker: Annotated[Any, Choice("easyrec.llm.rerankers")] | None = None
    """What looks at the best ones again."""
    reranked: int = Field(20, ge=1, le=1000)
    """How many it looks at."""
    min_score: float | None = None
    """Of what is found at least, by what decided last."""


class ReadingConfig(StrictModel):
    """How files are read, and what is too much of one. Each of these fails that file alone."""

    workers: int | None = Field(None, ge=0, le=256)
    """Processes that read files; default: one a processor, at most 4, and small plain texts are read without one. 0: files are
    read by the process itself, which a bad one may then take with it."""
    memory_mb: int = Field(2048, ge=256)
    """Of a process that reads, where the system can bound it."""
    seconds: float = Field(900.0, gt=0.0)
    """That a file may take, when another process reads it."""
    max_chunks: int = Field(200_000, ge=1)
    """Of a file."""
    max_text_mb: int = Field(128, ge=1)
    """Of a file, without what only its format takes."""
    picture_mb: int = Field(8, ge=0)
    """Of one picture of a file; larger ones are not kept, though what can be read in them is."""
    pictures_mb: int = Field(64, ge=0)
    """Of all pictures of a file."""


class KnowledgeConfig(StrictModel):
    """What is known, and how it is cut and kept."""

    path: str = Field(min_length=1)
    """The folder of the knowledge base."""
    language: str | None = "english"
    """Whose endings keyword search cuts off; other languages do no harm."""
    embedder: Annotated[Any, Choice("easyrec.llm.embedders")] | None = None
    """What makes vectors; without it chunks are found by their words alone."""
    chunker: Annotated[Any, Choice("rag.chunkers")] = {"type": "structure"}
    """How documents are cut."""
    store: Annotated[Any, Choice("rag.stores")] = {"type": "faiss"}
    """Where vectors are searched."""
    readers: list[Annotated[Any, Choice("rag.readers")]] = []
    """Readers that are configured otherwise than by default."""
    reading: ReadingConfig = ReadingConfig()
    """How files are read."""
    pictures_mb: int = Field(2048, ge=0)
    """Of the pictures of all documents, that are kept."""


class ImagesConfig(StrictModel):
    """Pictures that the model is shown."""

    most: int = Field(4, ge=1, le=64)
    """How many, those of the question first."""
    bytes: int = Field(4 << 20, ge=1024, le=64 << 20)
    """Of each at most."""
    figures: bool = True
    """Whether figures that were found are shown as pictures too."""


class AnswerConfig(StrictModel):
    """How questions are answered."""

    instructions: str = ""
    """What the model is told besides, as in whose name it speaks."""
    context_tokens: int = Field(2048, ge=64)
    """Of what was found, about, that the model is shown."""
    max_tokens: int = Field(512, ge=1)
    """Of an answer."""
    temperature: float = Field(0.0, ge=0.0, le=2.0)
    """How freely it speaks."""
    unknown: str = "The documents do not say."
    """What is answered where nothing was found, and what the model shall say where it is not enough."""
    history_tokens: int = Field(1024, ge=0)
    """Of the turns before the question, about, that the model is shown; the last ones."""
    unsupported: Literal["tell", "refuse"] = "tell"
    """Whether an answer that names no place is given, and marked, or replaced by `unknown`."""
    links: Literal["cited", "none"] = "cited"
    """Which links an answer may have: those that a place says which the same line names, or none."""
    images: ImagesConfig | None = None
    """Pictures that the model is shown; for models that take some."""


class ItemsConfig(StrictModel):
    """The table of a catalogue."""

    path: str = Field(min_length=1)
    """A file of Parquet, CSV or JSON lines."""
    id: str = "item_id"
    """The column that tells items apart."""
    text: str = Field(min_length=1)
    """What is searched and shown of an item, with `{column}` for its values."""
    facts: list[str] = []
    """Columns to filter by, besides `item`, which is the id."""
    prefix: str = Field("item:", min_length=1)
    """Items are documents whose names begin so, with the id behind."""

    @field_validator("text")
    @classmethod
    def _is_template(cls, value: str) -> str:
        return template_of(value)

    @field_validator("facts")
    @classmethod
    def _named(cls, value: list[str]) -> list[str]:
        wrong = [name for name in value if not NAME.match(name) or name in ("item", "source", "kind")]
        if wrong:
            raise ValueError(f"'{wrong[0]}' cannot be a fact")
        return value


class ChatConfig(StrictModel):
    """How talks are remembered."""

    path: str = Field(min_length=1)
    """The file."""
    turns: int = Field(50, ge=1, le=100)
    """Of a talk that are kept, the last ones."""
    sessions: int = Field(100, ge=1, le=100_000)
    """Talks of a user that are kept, the latest ones."""
    expire_s: float = Field(30 * 86400.0, gt=0.0)
    """Seconds after which a talk is forgotten in which nothing was said."""
    tokens: int = Field(1024, ge=64)
    """Of a talk, about, above which its older turns are summed up."""
    summary_tokens: int = Field(256, ge=32)
    """Of that summary."""
    verbatim: int = Field(2, ge=1, le=100)
    """Turns that are told as they were, in any case."""


class RagConfig(StrictModel):
    """`rag.yaml`."""

    name: str = Field("rag", min_length=1)
    knowledge: KnowledgeConfig
    search: SearchConfig = SearchConfig()
    items: ItemsConfig | None = None
    """The table of a catalogue, which `easyrec rag items` keeps in the knowledge base."""
    llm: Endpoint | None = None
    """Who answers."""
    answer: AnswerConfig = AnswerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    """How all of that is measured."""
    enrichment: EnrichmentConfig = EnrichmentConfig()
    """What a model says of chunks, so that they are found better."""
    pipeline: list[Annotated[Any, Choice("rag.steps")]] | None = Field(None, min_length=1, max_length=64)
    """What is done with a question, step by step; default: search, rerank where `search` has a reranker, answer."""
    server: ServerConfig = ServerConfig()
    """Where many knowledge bases are served, to whom."""
    ui: UiConfig = UiConfig()
    """Where the page for people is."""

    chat: ChatConfig | None = None
    """Where talks are remembered; without it nothing is."""

    def steps(self) -> list[StepConfig]:
        """The pipeline."""
        if self.pipeline is not None:
            return self.pipeline
        names = ["search", *(["rerank"] if self.search.reranker is not None else []), "answer"]
        return [member(FAMILY, name).Config() for name in names]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Whether the pipeline can run."""
        if self.pipeline is None:
            return self
        from rag.pipeline.ports import Given  # noqa: PLC0415 (its types are made of what reads this module)

        found = faults_of(self.pipeline, get_type_hints(Given))
        found += lacking(self.pipeline, model=self.llm is not None, reranker=self.search.reranker is not None)
        if found:
            raise faults(found)
        return self


def load_rag(source: str | os.PathLike[str] | dict[str, Any], overrides: list[str] | None = None) -> RagConfig:
    """The config of a YAML file, or of its content.

    Args:
        source: Where it is.
        overrides: `key=value`, as `-o` gives them.

    Raises:
        ConfigError: Everything wrong with it, with lines.
    """
    return validate(RagConfig, read_config(source, overrides))
