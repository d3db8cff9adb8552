"""`rag.yaml`: a knowledge base, how it is searched, and who answers."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import Field

from easyrec.llm.client import Endpoint
from feature_generator.config import Choice, StrictModel, read_config, validate
from rag.fusion import Fusion, MinMax


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


class RagConfig(StrictModel):
    """`rag.yaml`."""

    name: str = Field("rag", min_length=1)
    knowledge: KnowledgeConfig
    search: SearchConfig = SearchConfig()
    llm: Endpoint | None = None
    """Who answers."""
    answer: AnswerConfig = AnswerConfig()


def load_rag(source: str | os.PathLike[str] | dict[str, Any], overrides: list[str] | None = None) -> RagConfig:
    """The config of a YAML file, or of its content.

    Args:
        source: Where it is.
        overrides: `key=value`, as `-o` gives them.

    Raises:
        ConfigError: Everything wrong with it, with lines.
    """
    return validate(RagConfig, read_config(source, overrides))
