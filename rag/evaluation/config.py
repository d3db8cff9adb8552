"""`evaluation:` of `rag.yaml`: what is measured, and who judges."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from easyrec.llm.client import Endpoint
from feature_generator.config import Choice, StrictModel


class EvaluationConfig(StrictModel):
    """How answers, and what was found for them, are measured."""

    metrics: list[Annotated[Any, Choice("rag.evaluation.metrics")]] | None = Field(None, min_length=1)
    """What is measured. Default: all that can be: what was found, and where `llm` answers, its answers too."""
    judge: Endpoint | None = None
    """Who judges answers; default: `llm`, which is mild with itself."""
    votes: int = Field(1, ge=1, le=15)
    """How often it is asked the same; the most frequent verdict counts."""
    vote_temperature: float = Field(0.7, ge=0.0, le=2.0)
    """How freely it judges where it is asked more than once."""
    writer: Endpoint | None = None
    """Who writes questions; default: `llm`."""
    generate: list[Annotated[Any, Choice("rag.evaluation.generators")]] = Field(
        [{"type": "single"}, {"type": "multi_hop"}, {"type": "dialogue"}, {"type": "unanswerable"}], min_length=1
    )
    """The kinds of questions that `easyrec rag qagen` writes."""
    level: float = Field(0.95, gt=0.5, lt=1.0)
    """How often intervals hold the true value."""
    resamples: int = Field(10_000, ge=100, le=1_000_000)
    """Samples that are drawn for an interval."""
    min_measured: float = Field(0.8, ge=0.0, le=1.0)
    """Share of its questions that a metric must have a value for, or a gate on it fails."""
    concurrency: int = Field(4, ge=1, le=256)
    """Questions that are asked at a time."""
    seed: int = 0
    """Where chance starts."""

    def generators(self) -> list[Any]:
        """The kinds of questions, also where the default stands that are no configs yet."""
        return [Choice("rag.evaluation.generators").resolve(one) for one in self.generate]
