"""`Grower`: summaries of chunks that are alike, summaries of these, and so on up to one or to the depth that is wanted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import BaseModel, Field

from easyrec.errors import AnswerError, BudgetError, ConfigError, ModelError
from easyrec.llm.client import AsyncClient, Client, system, user
from easyrec.llm.telling import line, seen
from rag.chunkers import tokens_in
from rag.enrichment.clusters import clusters
from rag.enrichment.config import TreeConfig
from rag.enrichment.kinds import RULES
from rag.knowledge import KnowledgeBase
from rag.links import EVERYBODY
from rag.records import Part

TASK = """You are given several excerpts, a JSON object a line. Write one summary of them: what they have in common, and what each of them says, with the
names and numbers that matter."""
LONGEST = 20_000
"""Letters of a summary."""
MOST = 200_000
"""Chunks that are looked at together."""
AT_ONCE = 32
"""Summaries that are written at a time."""


class Summary(BaseModel):
    """What the model says."""

    summary: str = Field(min_length=1, max_length=LONGEST)


@dataclass
class Grown:
    """What came of the trees.

    Attributes:
        made: Summaries that were added.
        failed: Those that the model did not give.
        reasons: Why, as `unparsed`, `refused`, `cut` and `empty`.
        waiting: Summaries that are still to be made.
        tokens: Sent and received for these, about.
        stopped: Why it ended before its time.
    """

    made: int = 0
    failed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    tokens: tuple[int, int] = (0, 0)
    stopped: str = ""


class Grower:
    """Adds summaries to a knowledge base for what has none yet.

    What was summed up and has not changed stays as it is, so that new documents cost their own summaries, and those above them.

    Args:
        base: The knowledge base.
        config: How trees grow.
        again: Whether all are made anew; those that are there go when the first new ones come.

    Raises:
        ConfigError: It has no vectors.
    """

    def __init__(self, base: KnowledgeBase, config: TreeConfig, *, again: bool = False) -> None:
        if base.embedder is None:
            raise ConfigError("enrichment.tree: needs 'knowledge.embedder': what is alike is told by vectors")
        self.base, self.config, self._again = base, config, again

    def grow(self, client: Client, progress: Callable[[int], object] | None = None) -> Grown:
        """Add what is missing, level by level.

        Raises:
            ModelError: The model cannot be reached.
        """
        grown = Grown()
        for level in range(1, self.config.depth + 1):
            asked = 0
            for group in self._groups(level):
                sets = self._sets(group)
                for start in range(0, len(sets), AT_ONCE):
                    asked += len(some := sets[start : start + AT_ONCE])
                    self._add(client, level, some, grown)
                    if progress is not None:
                        progress(grown.made)
                    if grown.stopped:
                        return grown
            if not asked:
                break
        return grown

    def plan(self) -> Grown:
        """What `grow` would make; of the levels above the first that are not there yet, about."""
        grown, nodes = Grown(), 0
        for level in range(1, self.config.depth + 1):
            sets = [part for group in self._groups(level) for part in self._sets(group)]
            if level > 1:  # those that the level below would add
                sets_above = (nodes + self.config.children - 1) // self.config.children if nodes > 1 else 0
                size = min(self.config.children, max(nodes, 1)) * self.config.max_tokens
                grown = self._more(grown, [min(size, self.config.tokens)] * sets_above)
                nodes = sets_above
            grown = self._more(grown, [sum(tokens_in(part.chunk.text) for part in some) for some in sets])
            nodes += len(sets)
        return grown

    def _more(self, grown: Grown, sizes: Sequence[int]) -> Grown:
        rules = tokens_in(RULES) + tokens_in(TASK)
        sent, received = grown.tokens
        sent += sum(sizes) + rules * len(sizes)
        return Grown(waiting=grown.waiting + len(sizes), tokens=(sent, received + self.config.max_tokens * len(sizes)))

    def _groups(self, level: int) -> Iterator[list[Part]]:
        """What may be summed up together on a level, and has not been."""
        trees = [] if self._again else self.base.trees()
        covered = {child for tree in trees if tree.number >= level for child in tree.children}
        if level > 1:
            nodes = [tree for tree in trees if tree.number == level - 1 and tree.id not in covered]
            groups: dict[tuple[object, ...], list[Part]] = defaultdict(list)
            for node in nodes:
                groups[self._group_of(node)].append(node)
            yield from groups.values()
            return
        if self.config.scope == "document":
            for document in self.base.documents():
                yield [part for part in self.base.parts(document.source) if part.id not in covered]
            return
        together: dict[tuple[object, ...], list[Part]] = defaultdict(list)
        count = 0
        for document in self.base.documents():
            for part in self.base.parts(document.source):
                if part.id not in covered:
                    together[self._group_of(part)].append(part)
                    count += 1
            if count > MOST:
                raise ConfigError(f"enrichment.tree.scope: 'base' looks at {MOST:,} chunks at most; use 'document'")
        yield from together.values()

    def _group_of(self, part: Part) -> tuple[object, ...]:
        """What has the same one may be summed up together: a summary is seen by who may see all that it is of."""
        access = tuple(sorted(str(name) for name in part.facts.get("access", [EVERYBODY])))
        return access if self.config.scope == "base" else (part.document, *access)

    def _sets(self, parts: Sequence[Part]) -> list[list[Part]]:
        """Sets of parts that are alike; who is alone has nothing to be summed up with."""
        held = self.base.records.parts([part.id for part in parts], vectors=True)
        there = [held[part.id] for part in parts if part.id in held and held[part.id].vector is not None]
        if len(there) < 2:
            return []
        vectors = np.stack([part.vector for part in there if part.vector is not None])
        weights = np.array([tokens_in(part.chunk.text) for part in there], np.float64)
        found = clusters(vectors, weights, self.config.children, float(self.config.tokens))
        return [[there[row] for row in rows] for rows in found if len(rows) > 1]

    def _add(self, client: Client, level: int, sets: Sequence[Sequence[Part]], grown: Grown) -> None:
        """Let the model sum up sets, and keep what it says."""
        talk_of = [
            [system(RULES.format(task=TASK)), user("\n".join(line(_told(n, part)) for n, part in enumerate(some, 1)))]
            for some in sets
        ]

        lost: list[ModelError] = []

        async def write(own: AsyncClient, number: int) -> str | Exception:
            if lost:
                return lost[0]
            try:
                said = await own.structured(talk_of[number], Summary, max_tokens=self.config.max_tokens)
            except (AnswerError, BudgetError) as error:
                return error
            except ModelError as error:
                lost.append(error)
                return error
            return said.value.summary.strip()

        made: list[tuple[int, str, list[int]]] = []
        for some, text in zip(sets, client.each(range(len(sets)), write), strict=True):
            if isinstance(text, BudgetError):
                grown.stopped = str(text)
            elif isinstance(text, ModelError) and not isinstance(text, AnswerError):
                continue  # it is told below
            elif isinstance(text, Exception) or not text:
                grown.failed += 1
                grown.reasons[text.kind if isinstance(text, AnswerError) else "empty"] += 1
            else:
                made.append((level, text, [part.id for part in some]))
        if made:
            if self._again:
                self.base.drop_trees()
                self._again = False
            self.base.add_trees(made)
            grown.made += len(made)
        if lost:
            raise lost[0]  # what was answered is kept


def _told(number: int, part: Part) -> dict[str, object]:
    return {"n": number, "section": seen(" > ".join(part.chunk.path)), "text": seen(part.chunk.text)}
