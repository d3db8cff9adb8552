"""What the model named, as pairs of ids."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from easyrec.llm.naming import Names
from easyrec.llm.telling import seen
from easyrec.llm.tools._pair.prompts import NAME, REASON, Answer
from easyrec.llm.tools.pair import Config, Kind


@dataclass(frozen=True)
class Pair:
    """Two categories, by their places in the catalogue.

    Attributes:
        category: What is paired.
        paired: What goes with it.
        kind: How.
        score: From 0 to 1.
        reason: What the model says why.
        said: What it called it.
        mutual: Whether the other way round is a pair too.
        turned: Whether it is the other way round of what the model said.
    """

    category: int
    paired: int
    kind: Kind
    score: float
    reason: str
    said: str
    mutual: bool = False
    turned: bool = False


@dataclass
class Found:
    """What came of the names.

    Attributes:
        pairs: In the order of categories, the best first.
        how: How many names were mapped how, or why not.
        own: Names of the category itself.
        twice: Names of what an earlier one of the answer meant.
        weak: Pairs with a small score.
        rejected: Names that were not mapped.
    """

    pairs: list[Pair] = field(default_factory=list)
    how: Counter[str] = field(default_factory=Counter)
    own: int = 0
    twice: int = 0
    weak: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


def pairs_of(own: Config, names: Names, answers: Sequence[tuple[Kind, int, Answer]]) -> Found:
    """Pairs of ids out of answers.

    A pair's score is how sure the model is (else how early it named it), times how sure it is that this category is meant.

    Args:
        own: The section.
        names: The catalogue.
        answers: By kind and category.
    """
    said = [
        (kind, category, place, one) for kind, category, answer in answers for place, one in enumerate(answer.pairs)
    ]
    mapped = names.map([one.name for *_, one in said])
    number = {entry.id: place for place, entry in enumerate(names.catalogue.entries)}
    found, best = Found(), dict[tuple[Kind, int, int], Pair]()
    for (kind, category, place, one), where in zip(said, mapped, strict=True):
        found.how[where.how] += 1
        if where.id is None:
            found.rejected[seen(one.name).strip()[:NAME]] += 1
            continue
        paired = number[where.id]
        if paired == category:
            found.own += 1
            continue
        score = (one.confidence if own.confidence else 1.0 / math.log2(2.0 + place)) * where.score
        if score < own.least:
            found.weak += 1
            continue
        made = Pair(category, paired, kind, score, seen(one.reason).strip()[:REASON], seen(one.name).strip()[:NAME])
        key = (kind, category, paired)
        if key in best:
            found.twice += 1
        if key not in best or best[key].score < score:
            best[key] = made
    found.pairs = sorted(_mutual(best, symmetric=own.symmetric), key=lambda p: (p.kind, p.category, -p.score, p.paired))
    return found


def _mutual(best: Mapping[tuple[Kind, int, int], Pair], *, symmetric: bool) -> list[Pair]:
    """Pairs with whether they hold both ways; where they shall, those that are missing are made."""
    made = []
    for (kind, category, paired), one in best.items():
        other = best.get((kind, paired, category))
        both = other is not None or symmetric
        made.append(replace(one, mutual=both))
        if other is None and symmetric:
            made.append(replace(one, category=paired, paired=category, mutual=True, turned=True))
    return made


def table_of(names: Names, pairs: Sequence[Pair], source: str) -> pa.Table:
    """Pairs as they are written."""
    entries = names.catalogue.entries
    columns: dict[str, Any] = {
        "category": pa.array([entries[one.category].id for one in pairs], id_type(names)),
        "paired": pa.array([entries[one.paired].id for one in pairs], id_type(names)),
        "kind": pa.array([one.kind for one in pairs], pa.string()),
        "score": pa.array([one.score for one in pairs], pa.float32()),
        "reason": pa.array([one.reason for one in pairs], pa.string()),
        "category_name": pa.array([entries[one.category].name for one in pairs], pa.string()),
        "paired_name": pa.array([entries[one.paired].name for one in pairs], pa.string()),
        "said": pa.array([one.said for one in pairs], pa.string()),
        "mutual": pa.array([one.mutual for one in pairs], pa.bool_()),
        "turned": pa.array([one.turned for one in pairs], pa.bool_()),
        "synthetic": pa.array([True] * len(pairs), pa.bool_()),
        "source": pa.array([source] * len(pairs), pa.string()),
    }
    return pa.table(columns)


def id_type(names: Names) -> pa.DataType:
    """What ids are, also where there is no pair."""
    return pa.array([entry.id for entry in names.catalogue.entries]).type


def rejections(mapped: Found, most: int) -> list[tuple[str, int]]:
    """The most frequent names that were not mapped."""
    return sorted(mapped.rejected.items(), key=lambda one: (-one[1], one[0]))[:most]
