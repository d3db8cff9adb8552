"""Metrics of questions and answers.

One file per metric, with a `Config` over `MetricConfig` whose `measure` gives a value between 0 and 1 for each question, or
says why there is none: it does not concern the question, or the judge's words could not be used. What has no value is
counted, and never part of a mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from feature_generator.config import StrictModel

if TYPE_CHECKING:
    import numpy as np

    from easyrec.llm.embedders import Embedder
    from easyrec.llm.judging import Judge
    from easyrec.retrieval.metrics import ListMetric
    from rag.evaluation.case import Case

FAMILY = "rag.evaluation.metrics"
State = Literal["measured", "skipped", "unparsed", "refused", "led", "failed"]
"""`skipped`: it does not concern this question. `unparsed`, `refused`: the judge's words could not be used. `led`: the judge
also agreed with what nobody wrote. `failed`: the question could not be asked."""


class Measured(NamedTuple):
    """What a metric says of a question.

    Attributes:
        value: Between 0 and 1, the larger the better; None where there is none.
        state: Why there is none.
        told: What it rests on, as JSON has it.
    """

    value: float | None
    state: State = "measured"
    told: Any = None


SKIPPED = Measured(None, "skipped")
FAILED = Measured(None, "failed")


@dataclass(frozen=True)
class Tools:
    """What metrics measure with.

    Attributes:
        k: How many chunks the system finds.
        judge: Who judges.
        embedder: What makes vectors.
        noted: Warnings for whoever reads the report.
    """

    k: int
    judge: Judge | None = None
    embedder: Embedder | None = None
    noted: list[str] = field(default_factory=list)


class MetricConfig(StrictModel):
    """What configs of metrics share.

    Attributes:
        needs: What it asks for: `answer`, `judge`, `embedder`.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    name: str | None = Field(None, min_length=1, max_length=100)
    """What it is called in results. Default: its type, with `@k` where it has one."""

    def key(self, k: int) -> str:
        """What it is called in results, where so many chunks are found."""
        return self.name or str(self.type)  # type: ignore[attr-defined]  # each has one

    def depth(self) -> int | None:
        """How many chunks it looks at; None: as many as the system finds."""
        return None

    def measure(self, cases: Sequence[Case], tools: Tools) -> list[Measured]:
        """A value for each question that was asked."""
        raise TypeError(f"{type(self).__module__} has no way to measure")


class RankedConfig(MetricConfig):
    """What configs of metrics of what was found share. An empty list is worth 0."""

    k: int | None = Field(None, ge=1, le=1000)
    """How many chunks count. Default: as many as the system finds."""

    def key(self, k: int) -> str:
        """With how many count."""
        return self.name or f"{self.type}@{self.k or k}"  # type: ignore[attr-defined]  # each has one

    def depth(self) -> int | None:
        """As many as count."""
        return self.k

    def measure(self, cases: Sequence[Case], tools: Tools) -> list[Measured]:
        """A value for each question whose references are known."""
        concerned = [bool(case.question.references) and case.known for case in cases]
        chosen = [case for case, is_ in zip(cases, concerned, strict=True) if is_ and case.searched]
        values = iter(self.values(chosen, self.k or tools.k)) if chosen else iter(())
        return [
            SKIPPED if not is_ else Measured(float(next(values))) if case.searched else FAILED
            for case, is_ in zip(cases, concerned, strict=True)
        ]

    def values(self, cases: Sequence[Case], k: int) -> np.ndarray:
        """(n,), of questions that have references."""
        raise TypeError(f"{type(self).__module__} has no way to measure")


def by_list(metric: type[ListMetric], cases: Sequence[Case], config: Any) -> np.ndarray:
    """(n,), what a metric of retrieval says, of which the library has its own."""
    import numpy as np  # noqa: PLC0415 (configs are read without it)

    from rag.evaluation.case import found_of  # noqa: PLC0415

    found = found_of(cases)
    return metric(config, 0, np.ones(0)).of_users(found).clip(0.0, 1.0)
