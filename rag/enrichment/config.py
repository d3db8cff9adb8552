"""`enrichment:` of `rag.yaml`: what a model says of chunks, and who it is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from easyrec.llm.client import Endpoint
from feature_generator.config import Choice, StrictModel

FAMILY = "rag.enrichment.kinds"


class TreeConfig(StrictModel):
    """Summaries of what is alike, and summaries of these, as many levels as there are.

    Source:
        Sarthi et al., "RAPTOR: recursive abstractive processing for tree-organized retrieval", ICLR 2024; here with clusters
        that cannot grow larger than what a model is shown.
    """

    scope: Literal["document", "base"] = "document"
    """Whether each document has trees of its own, or all documents that the same people may see have common ones."""
    depth: int = Field(3, ge=1, le=8)
    """Levels at most."""
    children: int = Field(10, ge=2, le=100)
    """Of a summary at most."""
    tokens: int = Field(3000, ge=128, le=200_000)
    """About, that a summary is made of at most."""
    max_tokens: int = Field(300, ge=32, le=8192)
    """Of a summary."""


class EnrichmentConfig(StrictModel):
    """What is put beside chunks."""

    kinds: list[Annotated[Any, Choice(FAMILY)]] = []
    """`question`, `summary`, `entity`: what `easyrec rag enrich` makes of each chunk."""
    tree: TreeConfig | None = None
    """Summaries of many chunks; needs `knowledge.embedder`."""
    llm: Endpoint | None = None
    """Who says it; default: the `llm` that answers. Its `budget` bounds what is spent, its `cache` keeps what was said."""
