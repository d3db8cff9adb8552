"""Which fusion finds best: kinds, weights and numbers of candidates tried on questions whose places are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from easyrec.errors import ConfigError, DataError
from easyrec.intervals import Difference, Interval, difference, interval
from rag.config import SearchConfig
from rag.evaluation.questions import Question
from rag.fusion import DBSF, RRF, Found, MinMax, fused
from rag.knowledge import Hit, KnowledgeBase

CANDIDATES = (20, 50, 100, 200)
WEIGHTS = tuple(round(0.1 * tenth, 1) for tenth in range(1, 10))
RANKS = (10.0, 60.0)
"""Of `rrf`: what its `k` may be."""
LEAST = 10
"""Questions of each half that a choice needs."""
Fusing = MinMax | RRF | DBSF


@dataclass(frozen=True)
class Setting:
    """A way to make one list of two.

    Attributes:
        fusion: How.
        candidates: How many of each list.
    """

    fusion: Fusing
    candidates: int

    @property
    def called(self) -> str:
        """In words."""
        told = self.fusion.model_dump(exclude={"type"})
        return f"{self.fusion.type} {', '.join(f'{k} {v:g}' for k, v in told.items())}, {self.candidates} candidates"

    def as_search(self) -> dict[str, Any]:
        """The section `search` of a config."""
        return {"mode": "hybrid", "candidates": self.candidates, "fusion": self.fusion.model_dump()}


@dataclass(frozen=True)
class Tuned:
    """What came of it. All but `best` is measured on questions that the choice was not made on.

    Attributes:
        best: The setting that found best on the others.
        chosen: Its MRR.
        before: That of the config as it was.
        vector: That of vectors alone.
        keyword: That of words alone.
        gain: What the best one has more than the config as it was.
        questions: How many the choice was made on.
        held_out: How many it was measured on.
    """

    best: Setting
    chosen: Interval
    before: Interval
    vector: Interval
    keyword: Interval
    gain: Difference
    questions: int
    held_out: int

    @property
    def surely_better(self) -> bool:
        """Whether the gain is more than chance."""
        return self.gain.low > 0.0


@dataclass(frozen=True)
class _Lists:
    """What vectors and words find for a question, and which of it is right."""

    vector: Found
    keyword: Found
    right: frozenset[int]


def settings() -> list[Setting]:
    """All that are tried."""
    kinds: list[Fusing] = []
    for weight in WEIGHTS:
        kinds += [MinMax(keyword=weight), DBSF(keyword=weight), *(RRF(keyword=weight, k=k) for k in RANKS)]
    return [Setting(kind, candidates) for kind in kinds for candidates in CANDIDATES]


def tune(
    base: KnowledgeBase,
    questions: Sequence[Question],
    search: SearchConfig,
    *,
    k: int = 10,
    held_out: float = 0.5,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Tuned:
    """Choose the setting with the highest mean reciprocal rank.

    Args:
        base: What is searched; it must have vectors.
        questions: Those that name no places are passed over.
        search: The config as it is.
        k: How many of what is found count.
        held_out: The share of questions that the choice is measured on and not made on.
        seed: Which these are.
        progress: Is told how many questions more were searched for.

    Raises:
        ConfigError: There are no vectors.
        DataError: There are too few questions.
    """
    if base.embedder is None:
        raise ConfigError("'knowledge.embedder' is missing: without vectors there is nothing to fuse")
    known = [question for question in questions if question.references]
    order = np.random.default_rng(seed).permutation(len(known))
    cut = round(len(known) * held_out)
    if min(cut, len(known) - cut) < LEAST:
        raise DataError(
            f"{len(known)} questions name a place; {LEAST} are needed to choose by, and {LEAST} to measure on"
        )
    lists: list[_Lists] = []
    for question in known:
        lists.append(_looked_up(base, question, search))
        if progress is not None:
            progress(1)
    chosen, measured = [lists[i] for i in order[cut:]], [lists[i] for i in order[:cut]]
    tried = settings()
    now = Setting(search.fusion, search.candidates)
    if now not in tried:
        tried.insert(0, now)
    means = [float(np.mean([_of(one, setting, k) for one in chosen])) for setting in tried]
    top = max(means)
    near = [setting for setting, mean in zip(tried, means, strict=True) if mean >= top - 1e-12]
    best = now if now in near else min(near, key=lambda setting: setting.candidates)
    own, before = ([_of(one, setting, k) for one in measured] for setting in (best, now))
    parts = [[_rank(part(one)[0][:k], one.right) for one in measured] for part in (_vector, _keyword)]
    return Tuned(
        best,
        interval(own),
        interval(before),
        interval(parts[0]),
        interval(parts[1]),
        difference(before, own),
        len(chosen),
        len(measured),
    )


def _vector(one: _Lists) -> Found:
    return one.vector


def _keyword(one: _Lists) -> Found:
    return one.keyword


def _looked_up(base: KnowledgeBase, question: Question, search: SearchConfig) -> _Lists:
    """Both lists, as long as any setting wants them."""
    most = max(*CANDIDATES, search.candidates)
    found: dict[str, list[Hit]] = {}
    for mode in ("vector", "keyword"):
        how = search.model_copy(update={"mode": mode, "k": most, "candidates": most, "min_score": None})
        found[mode] = base.search(question.question, how)
    right = frozenset(
        hit.part.id
        for hits in found.values()
        for hit in hits
        if any(ref.is_in(hit.part.source, hit.part.chunk.text, hit.text) for ref in question.references)
    )
    return _Lists(_found(found["vector"]), _found(found["keyword"]), right)


def _found(hits: Sequence[Hit]) -> Found:
    return np.array([hit.part.id for hit in hits], np.int64), np.array([hit.score for hit in hits], np.float32)


def _of(one: _Lists, setting: Setting, k: int) -> float:
    """The reciprocal rank of the first right one that a setting finds."""
    vector, keyword = ((n[: setting.candidates], s[: setting.candidates]) for n, s in (one.vector, one.keyword))
    return _rank(fused(vector, keyword, k, setting.fusion)[0], one.right)


def _rank(numbers: np.ndarray, right: frozenset[int]) -> float:
    return next((1.0 / rank for rank, number in enumerate(numbers.tolist(), 1) if number in right), 0.0)
