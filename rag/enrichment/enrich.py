"""`enrich`: asks a model about chunks that nothing stands beside yet, and puts beside them what it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from easyrec.errors import AnswerError, BudgetError, ModelError
from easyrec.llm.client import AsyncClient, Client, system, user
from easyrec.llm.telling import line, seen
from rag.chunkers import tokens_in
from rag.enrichment.kinds import KindConfig
from rag.knowledge import KnowledgeBase
from rag.records import Part

AT_ONCE = 64
"""Chunks that are asked about, and written, at a time: what was paid for is kept when it stops."""


@dataclass
class Enriched:
    """What came of a kind.

    Attributes:
        chunks: That were asked about.
        texts: That were put beside them.
        short: Chunks that are too short to be asked about.
        failed: Chunks of which the model said nothing that can be used; they are asked about again.
        reasons: Why, as `unparsed`, `refused` and `cut`.
        waiting: Chunks that are still to be asked about.
        tokens: Sent and received for these, about.
        stopped: Why it ended before its time.
    """

    chunks: int = 0
    texts: int = 0
    short: int = 0
    failed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    tokens: tuple[int, int] = (0, 0)
    stopped: str = ""


def enrich(
    base: KnowledgeBase,
    client: Client,
    kind: KindConfig,
    *,
    limit: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Enriched:
    """Put beside each chunk what a model says of it, where nothing of this kind was put yet.

    Chunks that change lose it, and are asked about by the next run; those that stay are not.

    Args:
        base: The knowledge base.
        client: The model. Its budget ends the work; what was done stays.
        kind: What is asked.
        limit: Chunks that are asked about at most.
        progress: Is told how many are done.

    Raises:
        EasyRecError: The model cannot be reached, or what it says cannot be embedded or written; what was answered is kept.
    """
    done = Enriched()
    name = str(kind.type)  # type: ignore[attr-defined]  # each has one
    for parts in _batches(base, name):
        long = [part for part in parts if tokens_in(_text(part)) >= kind.min_tokens]
        short = {part.id for part in parts} - {part.id for part in long}
        if limit is not None:
            long = long[: max(limit - done.chunks, 0)]
        texts: dict[int, list[str]] = {number: [] for number in short}
        done.short += len(short)
        lost: ModelError | None = None
        for part, said in zip(long, _said(client, kind, long), strict=True):
            if isinstance(said, BudgetError):
                done.stopped = str(said)
                continue
            if isinstance(said, ModelError) and not isinstance(said, AnswerError):
                lost = lost or said
                continue
            done.chunks += 1
            if isinstance(said, AnswerError):
                done.failed += 1
                done.reasons[said.kind] += 1
            else:
                texts[part.id] = said
                done.texts += len(said)
        if texts:
            base.link_all(name, texts)
        if lost is not None:
            raise lost  # what was answered is kept
        if progress is not None:
            progress(done.chunks)
        if done.stopped or (limit is not None and done.chunks >= limit):
            break
    return done


def plan(base: KnowledgeBase, kind: KindConfig, limit: int | None = None, *, again: bool = False) -> Enriched:
    """What `enrich` would ask, and about how many tokens that takes at most; again: of what was asked about already too."""
    found = Enriched()
    rules, sent = tokens_in(kind.rules()), 0
    for parts in _batches(base, str(kind.type), again):  # type: ignore[attr-defined]  # each has one
        for part in parts:
            size = tokens_in(_text(part)) + tokens_in(" > ".join(part.chunk.path))
            if tokens_in(_text(part)) < kind.min_tokens:
                found.short += 1
            elif limit is None or found.waiting < limit:
                found.waiting += 1
                sent += rules + size
    found.tokens = (sent, found.waiting * kind.max_tokens)
    return found


def _batches(base: KnowledgeBase, kind: str, every: bool = False) -> Iterator[list[Part]]:
    """Chunks that have nothing of a kind, or every one, some at a time, each once."""
    after = 0
    while parts := base.unlinked(kind, after, AT_ONCE, every=every):
        after = parts[-1].id
        yield parts


def _said(client: Client, kind: KindConfig, parts: Sequence[Part]) -> list[list[str] | ModelError]:
    """What the model says of each chunk; where it can no longer be reached, no further chunk is asked about."""
    rules, lost = kind.rules(), list[ModelError]()

    async def ask(own: AsyncClient, part: Part) -> Any:
        if lost:
            return lost[0]
        told = {"section": seen(" > ".join(part.chunk.path)), "text": seen(_text(part))}
        try:
            said = await own.structured([system(rules), user(line(told))], kind.form, max_tokens=kind.max_tokens)
        except (AnswerError, BudgetError) as error:
            return error
        except ModelError as error:
            lost.append(error)
            return error
        return kind.texts(said.value)

    return client.each(parts, ask)


def _text(part: Part) -> str:
    return part.chunk.text
