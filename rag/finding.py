"""`Finding`: the chunks that fit a question, by words and by vectors, each once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from easyrec.errors import ConfigError
from easyrec.llm.embedders import Embedder
from easyrec.llm.rerankers import Reranker
from easyrec.retrieval.filters import VALUES, AnyOf, Condition, conditions_of, passes
from easyrec.retrieval.keyword.index import KeywordIndex
from rag.config import SearchConfig
from rag.fusion import Found, fused
from rag.links import EVERYBODY, Via
from rag.records import Part, Records
from rag.stores import VectorStore

LINKED = 3
"""Times as many entries are looked for where several may stand for one chunk."""


@dataclass(frozen=True)
class Hit:
    """A chunk that was found.

    Attributes:
        part: It, with its document.
        score: By what decided last; larger is better.
        parts: Its scores by `vector`, `keyword` and `reranker`, as far as these found it.
        via: What stands beside it and was found in its place, if that fitted better.
    """

    part: Part
    score: float
    parts: Mapping[str, float]
    via: Via | None = None

    @property
    def text(self) -> str:
        """What is read of it."""
        return self.part.chunk.context or self.part.chunk.text


class Finding:
    """Searches what a knowledge base has.

    Args:
        records: What there is.
        keywords: The index of words.
        vectors: The store of vectors, if there is one.
        embedder: Makes those of questions.
    """

    def __init__(
        self, records: Records, keywords: KeywordIndex, vectors: VectorStore | None, embedder: Embedder | None
    ) -> None:
        self._records, self._keywords, self._vectors, self._embedder = records, keywords, vectors, embedder

    def search(
        self,
        query: str,
        how: SearchConfig,
        conditions: Sequence[Condition],
        reranker: Reranker | None,
        *,
        passage: bool = False,
    ) -> list[Hit]:
        """The best ones; `passage`: for words as a document might have them.

        Raises:
            ConfigError: There are no vectors to search.
            EasyRecError: The question cannot be embedded, or a store cannot be reached.
        """
        lists, links = self._lists(query, how, conditions, passage)
        both = len(lists) == 2
        total = sum(len(numbers) for numbers, _ in lists.values())
        ranked = fused(lists["vector"], lists["keyword"], total, how.fusion) if both else next(iter(lists.values()))
        wanted = max(how.k, how.reranked) if reranker is not None else how.k
        found = list(self._first(ranked, wanted, conditions))
        own = {kind: dict(zip(n.tolist(), s.tolist(), strict=True)) for kind, (n, s) in lists.items()}
        if reranker is not None and found:
            again = reranker.score(query, [part.chunk.searched() for part, _ in found])
            own["reranker"] = {part.id: float(score) for (part, _), score in zip(found, again, strict=True)}
            found = sorted(
                ((part, own["reranker"][part.id]) for part, _ in found), key=lambda entry: (-entry[1], entry[0].id)
            )
        least = -np.inf if how.min_score is None else how.min_score
        best = [(part, score) for part, score in found[: how.k] if score >= least]
        via = self._records.links.via([links[part.id] for part, _ in best if part.id in links]) if links else {}
        return [
            Hit(part, score, {k: s[part.id] for k, s in own.items() if part.id in s}, via.get(links.get(part.id, 0)))
            for part, score in best
        ]

    def _lists(
        self, query: str, how: SearchConfig, conditions: Sequence[Condition], passage: bool
    ) -> tuple[dict[str, Found], dict[int, int]]:
        """What words and vectors find, and which links stood for chunks in it."""
        if how.mode == "vector" and self._embedder is None:
            raise ConfigError("search.mode: 'vector' needs 'knowledge.embedder'")
        linked = self._records.links.some()
        most = max(how.candidates, how.k)
        asked = most * LINKED if linked else most
        lists: dict[str, Found] = {}
        if how.mode != "keyword" and self._embedder is not None and self._vectors is not None:
            embedded = self._embedder.documents if passage else self._embedder.queries
            lists["vector"] = self._vectors.search(embedded([query])[0], asked, conditions)
        if how.mode != "vector":
            lists["keyword"] = self._keywords.search(query, asked, conditions=conditions)
        if not linked:
            return lists, {}
        parents = self._records.links.parents([int(number) for numbers, _ in lists.values() for number in numbers])
        places = {kind: _once(found, parents, most) for kind, found in lists.items()}
        links: dict[int, int] = {}
        for kind, (numbers, _) in lists.items():
            for number in numbers[places[kind]].tolist():
                if number in parents:
                    links.setdefault(parents[number], number)
        return {kind: _owned(found, parents, places[kind]) for kind, found in lists.items()}, links

    def _first(self, ranked: Found, wanted: int, conditions: Sequence[Condition]) -> Iterator[tuple[Part, float]]:
        """The first ones that pass; of those in whose place the same is read, one.

        An index may lag behind what another process wrote, so what is read is looked at once more.
        """
        seen: set[tuple[int, str]] = set()
        given = 0
        for start in range(0, len(ranked[0]), wanted):
            numbers, scores = (each[start : start + wanted].tolist() for each in ranked)
            parts = self._records.parts(numbers)
            for number, score in zip(numbers, scores, strict=True):
                part = parts.get(number)
                if part is None or not passes(part.known(), conditions):
                    continue
                if part.chunk.context is not None:
                    if (part.document, part.chunk.context) in seen:
                        continue
                    seen.add((part.document, part.chunk.context))
                yield part, score
                given += 1
                if given == wanted:
                    return


def limits_of(filter: Mapping[str, Any] | None, access: Collection[str] | None) -> tuple[Condition, ...]:
    """What must hold of what is found.

    Args:
        filter: As `easyrec.retrieval.filters` has it.
        access: The names that somebody has; None: who sees all.

    Raises:
        ConfigError: The filter is none, or the names are none.
    """
    conditions = conditions_of(filter)
    if access is None:
        return conditions
    return (*conditions, AnyOf("access", (EVERYBODY, *names_of(access))))


def names_of(access: Collection[str]) -> tuple[str, ...]:
    """Names that documents may be kept for.

    Raises:
        ConfigError: They are none.
    """
    if isinstance(access, str) or not all(isinstance(name, str) and name for name in access):
        raise ConfigError("access: must be a list of names")
    if len(access) >= VALUES:
        raise ConfigError(f"access: has {len(access)} names, and {VALUES - 1} are looked at at most")
    return tuple(access)


def _once(found: Found, parents: Mapping[int, int], most: int) -> np.ndarray:
    """Places of the first entry of each chunk."""
    owners = np.array([parents.get(number, number) for number in found[0].tolist()], np.int64)
    _, places = np.unique(owners, return_index=True)
    return np.sort(places)[:most]


def _owned(found: Found, parents: Mapping[int, int], places: np.ndarray) -> Found:
    """The chunks of some entries, with the scores of these."""
    numbers, scores = found
    return np.array([parents.get(number, number) for number in numbers[places].tolist()], np.int64), scores[places]
