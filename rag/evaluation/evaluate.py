"""`Evaluator`: asks a system questions, and measures what it finds and answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from typing_extensions import Self

from easyrec.errors import ConfigError, nearest
from easyrec.llm.client import Client, Message, Usage
from easyrec.llm.judging import Judge
from feature_generator.config import member, members
from rag.answer import Answered
from rag.config import RagConfig
from rag.evaluation.asking import asked
from rag.evaluation.config import EvaluationConfig
from rag.evaluation.metrics import FAMILY, Measured, MetricConfig, RankedConfig, Tools
from rag.evaluation.questions import Question
from rag.evaluation.results import Evaluation
from rag.knowledge import Hit, KnowledgeBase
from rag.rag import Rag

FOUND = ("hit_rate", "mrr", "precision", "recall", "ndcg")
ANSWERED = ("abstention", "citation_precision", "faithfulness", "correctness", "context_relevance")


def metrics_of(config: RagConfig, names: Sequence[str] = (), *, answers: bool = True) -> list[MetricConfig]:
    """What is measured of a system.

    Args:
        config: The system's.
        names: Types of metrics, which take the place of the config's.
        answers: Whether answers are measured where the config names nothing.

    Raises:
        ConfigError: A metric is not known, or needs what the system does not have.
    """
    own = config.evaluation
    if names:
        chosen = [named(name) for name in names]
    elif own.metrics is not None:
        chosen = list(own.metrics)
    else:
        wanted = list(FOUND)
        if answers and config.llm is not None:
            wanted += [*ANSWERED, *(["similarity"] if config.knowledge.embedder is not None else [])]
        chosen = [member(FAMILY, name).Config() for name in wanted]
    if not answers:
        given = chosen
        chosen = [one for one in given if "answer" not in one.needs]
        if not chosen:
            told = ", ".join(one.key(config.search.k) for one in given)
            raise ConfigError(f"nothing is left to measure: {told} need answers, and none are asked for")
    keys = [one.key(config.search.k) for one in chosen]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"evaluation.metrics: '{key}' is there twice; give one a 'name'")
    for one in chosen:
        if "answer" in one.needs and config.llm is None:
            raise ConfigError(f"evaluation.metrics: '{one.key(0)}' needs 'llm': it says which model answers")
        if "judge" in one.needs and config.llm is None and own.judge is None:
            raise ConfigError(f"evaluation.metrics: '{one.key(0)}' needs 'evaluation.judge', or 'llm'")
        if "embedder" in one.needs and config.knowledge.embedder is None:
            raise ConfigError(f"evaluation.metrics: '{one.key(0)}' needs 'knowledge.embedder'")
    return chosen


def named(text: str) -> MetricConfig:
    """A metric by its type, or as it is called in results, `ndcg@10`.

    Raises:
        ConfigError: There is none.
    """
    name, _, k = text.partition("@")
    known = members(FAMILY)
    if name not in known:
        raise ConfigError(f"unknown metric '{text}'{nearest(name, known)}; known: {', '.join(known)}")
    found: type[MetricConfig] = member(FAMILY, name).Config
    if not k:
        return found()
    if not issubclass(found, RankedConfig) or not k.isdigit() or not 1 <= int(k) <= 1000:
        raise ConfigError(f"metric '{text}': '{name}' has no such number of chunks")
    return found(k=int(k))


class Evaluator:
    """A system that is open to be measured. Use it as `with`.

    Args:
        config: The system's.
        base: Its knowledge base, where that is open already.

    Raises:
        EasyRecError: It cannot be opened.
    """

    def __init__(self, config: RagConfig, *, base: KnowledgeBase | None = None) -> None:
        self.config = config
        self.rag = Rag(config, base=base)

    def find(self, question: str, history: Sequence[Message], k: int | None) -> Sequence[Hit]:
        """The chunks that the system finds."""
        return self.rag.search(question, history=history, k=k).hits

    def answer(self, question: str, history: Sequence[Message]) -> Answered:
        """What the system answers."""
        return self.rag.ask(question, history=history)

    def evaluate(
        self,
        questions: Sequence[Question],
        metrics: Sequence[MetricConfig] | None = None,
        *,
        progress: Callable[[str], object] | None = None,
    ) -> Evaluation:
        """Ask questions and measure.

        Args:
            questions: What is asked.
            metrics: What is measured; default: what the config says.
            progress: Is told what is being done, and each question that was asked.

        Raises:
            EasyRecError: The system or the judge cannot be asked. What was answered is in their caches, if they have one.
        """
        own: EvaluationConfig = self.config.evaluation
        chosen = metrics_of(self.config) if metrics is None else list(metrics)
        k = self.config.search.k
        deepest = max([k, *(depth for one in chosen if (depth := one.depth()) is not None)])
        answers = any("answer" in one.needs for one in chosen)
        before = self.rag.tools.client().ledger.spent if answers else Usage()
        judge = None
        if any("judge" in one.needs for one in chosen):
            judge = Judge(self.rag.tools.client(own.judge), own.votes, own.vote_temperature, own.seed)
        cases = asked(
            self,
            self.rag.base,
            questions,
            answers=answers,
            k=deepest if deepest > k else None,
            threads=own.concurrency,
            progress=None if progress is None else lambda question: progress(question.key),
        )
        answering = self.rag.tools.client() if answers else None
        took = {} if answering is None else {"answers": _usage(answering, before)}
        before = Usage() if judge is None else judge.client.ledger.spent
        tools = Tools(k, judge, self.rag.base.embedder)
        values: dict[str, list[Measured]] = {}
        for one in chosen:
            if progress is not None:
                progress(f"measuring {one.key(k)}")
            values[one.key(k)] = one.measure(cases, tools)
        if judge is not None:
            took["judge"] = _usage(judge.client, before)
        notes = [*tools.noted, *self._notes(cases, judge)]
        return Evaluation(self.config.name, cases, values, own.level, own.resamples, own.seed, took, notes)

    def _notes(self, cases: Sequence[Any], judge: Judge | None) -> list[str]:
        """What one should know beside the numbers."""
        notes = []
        stale = sum(not case.known for case in cases)
        if stale:
            notes.append(f"{stale} of {len(cases)} questions rest on what no document says any more: not measured")
        failed = [case.failed for case in cases if case.failed]
        if failed:
            notes.append(f"{len(failed)} of {len(cases)} questions could not be asked, the first: {failed[0]}")
        if judge is not None and self.config.evaluation.judge is None:
            notes.append("the model that answers judges itself (evaluation.judge)")
        return notes

    def close(self) -> None:
        """Let go of what it holds."""
        self.rag.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _usage(client: Client, before: Usage) -> dict[str, float]:
    """What a client took since then."""
    spent, price = client.ledger.spent, client.endpoint.price
    told = {name: getattr(spent, name) - getattr(before, name) for name in ("calls", "input", "output", "hits")}
    return {**told, "cost": spent.cost(price) - before.cost(price)}
