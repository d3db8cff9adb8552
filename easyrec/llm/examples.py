"""`ExampleIndex`: which of many known queries a model is shown with a new one: near ones, of its category, and unlike each other."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any, Literal

import numpy as np
from typing_extensions import Self

from easyrec.llm.embedders import Embedder
from easyrec.retrieval.keyword.index import KeywordIndex

By = Literal["vectors", "words", "both"]
EXACT = 8192
"""So many vectors are compared one by one; of more, those in the lists of the nearest centres."""
PROBES = 16
"""Lists that are looked at."""
POOL = 50
"""Queries that examples are chosen from, the nearest ones."""
SOFT = 60
"""Keeps the first places of a list from counting too much where two lists become one."""
PIECE = 3
"""Characters of the pieces by which queries without vectors are compared."""
FACT = "category"


@dataclass(frozen=True)
class Selected:
    """What was chosen.

    Attributes:
        places: (n,) int64, which of the queries, the one to show first being first.
        scores: (n,) float32, how near each is: a cosine, or by words a share of the best score.
        inside: How many of them are of the category that was asked for.
    """

    places: np.ndarray
    scores: np.ndarray
    inside: int


class ExampleIndex:
    """Known queries, found by meaning, by words, or by both. Any number of threads may ask.

    Vectors of a category lie side by side, so that they are compared at one stroke; of a category, or a whole, of more than
    `EXACT` queries an index of lists looks at some.

    Args:
        queries: What was asked before, each once.
        categories: Of each, None where it is not known; default: none is known.
        vectors: (n, d) of the queries; None: they are found by words alone.
        by: What finds; default: vectors where there are any, else words. The other one, where it is asked for, is needed too.
        embedder: Makes vectors of queries that come without.
        language: Whose endings are cut off words; None: of none.
        diversity: From 0, the nearest ones, to 1, those that are as unlike as can be.

    Raises:
        ValueError: The lengths differ, or it is to find by vectors and has none.
        MissingExtra: What finds words is not installed: the extra `rag`.
    """

    def __init__(
        self,
        queries: Sequence[str],
        categories: Sequence[str | None] | None = None,
        vectors: np.ndarray | None = None,
        *,
        by: By | None = None,
        embedder: Embedder | None = None,
        language: str | None = "english",
        diversity: float = 0.3,
    ) -> None:
        self.queries = list(queries)
        self.categories = [None] * len(self.queries) if categories is None else list(categories)
        self.by: By = by or ("words" if vectors is None else "vectors")
        self.embedder, self.diversity = embedder, diversity
        if len(self.categories) != len(self.queries) or (vectors is not None and len(vectors) != len(self.queries)):
            raise ValueError("each query has one category and one vector")
        if vectors is None and self.by != "words":
            raise ValueError(f"by '{self.by}' needs vectors")
        names = np.array([name if name is not None else "" for name in self.categories], object)
        known = np.array([name is not None for name in self.categories], bool)
        order = np.lexsort((np.arange(len(names)), names.astype(str), ~known)) if len(names) else np.zeros(0, np.int64)
        self._order = order.astype(np.int64)  # by where a vector lies, which query's it is; `_at` is the other way
        self._at = np.empty_like(self._order)
        self._at[self._order] = np.arange(len(order))
        self._groups = _groups(names[order], int(known.sum()))
        self._vectors = None if vectors is None else _unit(np.asarray(vectors, np.float32)[self._order])
        self._lists: dict[tuple[int, int], Any] = {}
        if self._vectors is not None and self.by != "words":
            self._build_lists()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._words: KeywordIndex | None = None
        if self.by != "vectors":
            self._build_words(language)

    def __len__(self) -> int:
        return len(self.queries)

    def close(self) -> None:
        """Let go of the index of words."""
        if self._words is not None:
            self._words.close()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _build_lists(self) -> None:
        from easyrec.retrieval.indexes import build  # noqa: PLC0415 (FAISS stays out until it is needed)
        from easyrec.retrieval.indexes.ivf import Config  # noqa: PLC0415

        assert self._vectors is not None
        for start, end in {(0, len(self)), *self._groups.values()}:
            if end - start > EXACT:
                index = build(Config(lists=isqrt(end - start), probes=PROBES), self._vectors.shape[1])
                index.add(np.arange(start, end), self._vectors[start:end])
                self._lists[start, end] = index

    def _build_words(self, language: str | None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="easyrec-examples-")
        self._words = KeywordIndex(Path(self._folder.name) / "words", language)
        facts: list[dict[str, Any]] = [{} if name is None else {FACT: name} for name in self.categories]
        self._words.add(range(len(self)), self.queries, facts)
        self._words.commit()
        self._words.close()  # it is searched from now on, and no longer written

    # ------------------------------------------------------------------------------------------------ asking

    def select(
        self,
        query: str,
        category: str | None = None,
        k: int = 4,
        *,
        vector: np.ndarray | None = None,
        without: Sequence[int] = (),
    ) -> Selected:
        """Examples for a query: of its category first, and where that has too few, of any.

        Args:
            query: What was asked.
            category: Its category; None: it is not known, and all queries are looked at.
            k: How many are wanted; fewer where there are fewer.
            vector: (d,) of the query; default: the embedder's.
            without: Places that are not chosen.

        Raises:
            ValueError: It finds by vectors, and there is neither a vector nor an embedder.
        """
        if k < 1:
            raise ValueError(f"at least one example is wanted, not {k}")
        if self.by != "words":
            vector = self._vector_of(query, vector)
        group = None if category is None else self._groups.get(category)
        passed = set(map(int, without))
        places, scores = np.zeros(0, np.int64), np.zeros(0, np.float32)
        if group is not None and category is not None:
            places, scores = self._diverse(*self._near(query, vector, group, category, len(passed)), k, passed)
        inside = len(places)
        if inside < k:
            passed |= set(places.tolist())
            more = self._diverse(*self._near(query, vector, (0, len(self)), None, len(passed)), k - inside, passed)
            places, scores = np.concatenate([places, more[0]]), np.concatenate([scores, more[1]])
        return Selected(places, scores, inside)

    def category_of(self, query: str, *, vector: np.ndarray | None = None, k: int = 8) -> tuple[str | None, float]:
        """The category of most of the nearest queries, weighed by how near they are, and its share; None of nothing.

        Args:
            query: What was asked.
            vector: (d,) of the query; default: the embedder's.
            k: How many are asked.
        """
        if self.by != "words":
            vector = self._vector_of(query, vector)
        places, scores = self._near(query, vector, (0, len(self)), None, 0)
        weights: dict[str, float] = {}
        for place, score in zip(places[:k].tolist(), scores[:k].tolist(), strict=True):
            name = self.categories[place]
            if name is not None:
                weights[name] = weights.get(name, 0.0) + max(score, 0.0)
        if not sum(weights.values()):
            return None, 0.0
        best = max(weights, key=lambda name: (weights[name], name))
        return best, weights[best] / sum(weights.values())

    def _vector_of(self, query: str, vector: np.ndarray | None) -> np.ndarray:
        if vector is None:
            if self.embedder is None:
                raise ValueError("examples are found by vectors: give the query's, or an embedder")
            vector = self.embedder.queries([query])[0]
        found: np.ndarray = _unit(np.asarray(vector, np.float32).reshape(1, -1))[0]
        return found

    def _near(
        self, query: str, vector: np.ndarray | None, group: tuple[int, int], category: str | None, more: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Places of the nearest queries of a group, the nearest first, and how near they are."""
        count = POOL + more
        if self.by == "vectors":
            assert vector is not None
            return self._by_vectors(vector, group, count)
        words = self._by_words(query, category, count)
        if self.by == "words":
            return words
        assert vector is not None
        return _merged(self._by_vectors(vector, group, count), words, count)

    def _by_vectors(self, vector: np.ndarray, group: tuple[int, int], count: int) -> tuple[np.ndarray, np.ndarray]:
        assert self._vectors is not None
        start, end = group
        lists = self._lists.get(group)
        if lists is not None:
            found, scores = lists.search(vector[None], min(count, end - start))
            found, scores = found[0][found[0] >= 0], scores[0][found[0] >= 0]
            return self._order[found], scores
        scores = _products(self._vectors[start:end], vector)
        if len(scores) > count:
            best = np.argpartition(scores, -count)[-count:]
            best = best[np.argsort(-scores[best], kind="stable")]
        else:
            best = np.argsort(-scores, kind="stable")
        return self._order[start + best], scores[best]

    def _by_words(self, query: str, category: str | None, count: int) -> tuple[np.ndarray, np.ndarray]:
        assert self._words is not None
        places, scores = self._words.search(query, count, filter=None if category is None else {FACT: category})
        return places, scores / scores[0] if len(scores) else scores

    def _diverse(
        self, places: np.ndarray, scores: np.ndarray, k: int, without: set[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Those of the nearest that are near and unlike the ones chosen before them.

        Source:
            Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing
            summaries", SIGIR 1998.
        """
        if without:
            left = np.array([place not in without for place in places.tolist()], bool)
            places, scores = places[left], scores[left]
        k = min(k, len(places))
        if not k or not self.diversity:
            return places[:k], scores[:k].astype(np.float32)
        alike = self._likeness(places)
        near, chosen = (1.0 - self.diversity) * scores, [0]
        most = alike(0)
        for _ in range(k - 1):
            worth = near - self.diversity * most
            worth[chosen] = -np.inf
            chosen.append(int(worth.argmax()))
            most = np.maximum(most, alike(chosen[-1]))
        return places[chosen], scores[chosen].astype(np.float32)

    def _likeness(self, places: np.ndarray) -> Any:
        """Says how alike one of some queries is to each of them."""
        if self._vectors is not None:
            own = self._vectors[self._at[places]]
            return lambda one: _products(own, own[one])
        pieces = [_pieces(self.queries[place]) for place in places.tolist()]
        return lambda one: np.array([_shared(pieces[one], other) for other in pieces], np.float32)


def _groups(names: np.ndarray, known: int) -> dict[str, tuple[int, int]]:
    """By category, where its queries begin and end among sorted ones, of which the first so many have one."""
    found: dict[str, tuple[int, int]] = {}
    if not known:
        return found
    starts = [0, *(np.flatnonzero(names[1:known] != names[: known - 1]) + 1).tolist()]
    for start, end in zip(starts, [*starts[1:], known], strict=True):
        found[str(names[start])] = (start, end)
    return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(lengths, 1e-12), np.float32)


def _products(vectors: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Inner products, (n,) float32, by this thread alone: those of BLAS wake others, and wait for them where all are busy."""
    from easyrec.retrieval.indexes._faiss import faiss  # noqa: PLC0415 (it stays out until it is needed)

    found = np.empty(len(vectors), np.float32)
    vector = np.ascontiguousarray(vector)
    pointers = (faiss.swig_ptr(array) for array in (found, vector, vectors))
    if len(vectors):
        faiss.fvec_inner_products_ny(*pointers, vectors.shape[1], len(vectors))
    return found


def _merged(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two lists as one, by reciprocal ranks; the best possible score is 1.

    Source:
        Cormack et al., "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods", SIGIR 2009.
    """
    worth: dict[int, float] = {}
    for places, _ in (one, other):
        for rank, place in enumerate(places.tolist()):
            worth[place] = worth.get(place, 0.0) + (SOFT + 1) / (2 * (SOFT + 1 + rank))
    best = sorted(worth, key=lambda place: (-worth[place], place))[:count]
    return np.array(best, np.int64), np.array([worth[place] for place in best], np.float32)


def _pieces(text: str) -> frozenset[str]:
    text = f" {text.lower()} "
    return frozenset(text[start : start + PIECE] for start in range(max(len(text) - PIECE + 1, 1)))


def _shared(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
