"""What pairs are worth: how often what users buy next is of a category that goes with what they bought before.

Users' events are cut at a moment. Before it stand the categories that a user bought, after it those that he bought next; of
these only categories that he had not bought lately count, since nobody needs a pair for them. A user's value is the share of his
next purchases in a category that is paired with one of before. Beside the pairs stand as many random ones for each category,
the most bought categories, and pairs learned from what was bought together before the moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from easyrec.errors import DataError
from easyrec.intervals import Difference, Interval, difference, interval
from easyrec.llm.tools._pair.pairs import Pair
from easyrec.llm.tools._pair.tables import Bought, Ints
from easyrec.llm.tools.pair import Evaluation

LEAST = 30
"""Users that are needed."""
MOST = 20_000
"""Categories that are compared at most."""
PAIRS = 20_000_000
"""Of categories that one user bought, that are counted at a time."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lift:
    """What pairs are worth.

    Attributes:
        users: Who bought before and after, in categories that are new to them.
        purchases: What they bought afterwards, of such categories.
        shares: By what pairs, the mean share of a user's next purchases that is of a paired category.
        reach: By what pairs, how many categories are paired with a user's on average.
        differences: By what the model's pairs are compared with, theirs minus those.
        strange: Events of items that are not known.
    """

    users: int
    purchases: int
    shares: Mapping[str, Interval]
    reach: Mapping[str, float]
    differences: Mapping[str, Difference]
    strange: int

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


def lift_of(config: Evaluation, pairs: Sequence[Pair], bought: Bought, categories: int) -> Lift:
    """Measure pairs.

    Args:
        config: How.
        pairs: Complements, or others.
        bought: The events.
        categories: How many categories there are.

    Raises:
        DataError: There are too many categories, or too few users who bought before and after.
    """
    if categories > MOST:
        raise DataError(f"pairs of {categories:,} categories cannot be measured: at most {MOST:,}")
    cut = bought.time[min(int(len(bought.time) * (1.0 - config.held_out)), len(bought.time) - 1)]
    first = int(np.searchsorted(bought.time, cut))
    user, category = _recent(bought.user[:first], bought.category[:first], config.recent)
    held = np.unique(user * categories + category)
    next_user, next_category = bought.user[first:], bought.category[first:]
    key = next_user * categories + next_category
    new = ~np.isin(key, held) & np.isin(next_user, user)
    next_user, key = next_user[new], key[new]
    users, who = np.unique(next_user, return_inverse=True)
    if len(users) < LEAST:
        raise DataError(
            f"only {len(users)} users bought before and afterwards, in a category that is new to them; {LEAST} are needed"
        )
    known = np.isin(user, users)
    base_user, base = user[known], category[known]
    asked = np.unique(np.array([[one.category, one.paired] for one in pairs], np.int64).reshape(-1, 2), axis=0)
    degree = np.bincount(asked[:, 0], minlength=categories)
    random = np.random.default_rng(config.seed)
    counted = np.bincount(bought.category[:first], minlength=categories).astype(np.float64)
    every = np.unique(bought.user[:first] * categories + bought.category[:first])
    together = _together(every // categories, every % categories, categories)
    kinds = {
        "of the model": [asked],
        "random": [_random(degree, random) for _ in range(config.draws)],
        "most bought": [_best(np.tile(counted, (categories, 1)), degree)],
        "bought together": [_best(together, degree, least=0.0)],
    }
    values: dict[str, Floats] = {}
    reach: dict[str, float] = {}
    for name, drawn in kinds.items():
        found = [_shares(table, base_user, base, key, who, len(users), held, categories) for table in drawn]
        values[name] = np.mean([share for share, _ in found], axis=0)
        reach[name] = float(np.mean([size for _, size in found])) / len(users)
    own = values["of the model"]
    return Lift(
        len(users),
        len(key),
        {name: interval(one.tolist(), seed=config.seed) for name, one in values.items()},
        reach,
        {
            name: difference(one.tolist(), own.tolist(), seed=config.seed)
            for name, one in values.items()
            if name != "of the model"
        },
        bought.strange,
    )


def _recent(user: Ints, category: Ints, count: int) -> tuple[Ints, Ints]:
    """Each user's newest categories, so many at most; events are given the oldest first."""
    user, category = user[::-1], category[::-1]
    order = np.argsort(user, kind="stable")
    user, category = user[order], category[order]
    _, first = np.unique(user * (int(category.max(initial=0)) + 1) + category, return_index=True)
    first.sort()
    user, category = user[first], category[first]
    starts = np.searchsorted(user, user)
    kept = np.arange(len(user)) - starts < count
    return user[kept], category[kept]


def _together(user: Ints, category: Ints, categories: int) -> Floats:
    """(C, C) how many users bought both, by the root of how many bought each."""
    made = np.zeros((categories, categories))
    counts = np.bincount(category, minlength=categories).astype(np.float64)
    order = np.argsort(user, kind="stable")
    user, category = user[order], category[order]
    size = np.searchsorted(user, user, side="right") - np.searchsorted(user, user)
    first = 0
    while first < len(user):
        last = first + max(int(np.searchsorted(np.cumsum(size[first:]), PAIRS)), int(size[first]))
        last = int(np.searchsorted(user, user[min(last, len(user)) - 1], side="right"))
        some, own = user[first:last], size[first:last]
        left = np.repeat(np.arange(first, last), own)
        start = np.repeat(np.searchsorted(user, some), own)
        right = start + np.arange(len(left)) - np.repeat(np.cumsum(own) - own, own)
        key = category[left] * categories + category[right]
        made += np.bincount(key, minlength=categories * categories).reshape(categories, categories)
        first = last
    return made / np.sqrt(np.maximum(np.outer(counts, counts), 1.0))


def _best(score: Floats, degree: Ints, least: float = -np.inf) -> Ints:
    """(n, 2) for each category as many others as it has pairs, those with the largest scores; none that is not above `least`."""
    score = score.copy()
    np.fill_diagonal(score, -np.inf)
    order = np.argsort(-score, axis=1, kind="stable")
    return _taken(order, np.minimum(degree, (score > least).sum(axis=1)))


def _random(degree: Ints, random: np.random.Generator) -> Ints:
    """(n, 2) the same, drawn."""
    score = random.random((len(degree), len(degree)))
    return _best(score, degree)


def _taken(order: Ints, degree: Ints) -> Ints:
    row = np.repeat(np.arange(len(degree)), degree)
    column = np.arange(len(row)) - np.repeat(np.cumsum(degree) - degree, degree)
    return np.stack([row, order[row, column]], axis=1)


def _shares(
    pairs: Ints, user: Ints, base: Ints, key: Ints, who: Ints, users: int, held: Ints, categories: int
) -> tuple[Floats, int]:
    """(U,) each user's share of next purchases in a paired category, and how many new categories are paired with all users'."""
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    starts = np.searchsorted(pairs[:, 0], np.arange(categories + 1))
    sizes = (starts[1:] - starts[:-1])[base]
    at = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(starts[base], sizes)
    reached = np.unique(np.repeat(user, sizes) * categories + pairs[at, 1])
    reached = reached[~np.isin(reached, held)]
    hit = np.isin(key, reached).astype(np.float64)
    return np.bincount(who, hit, users) / np.bincount(who, minlength=users), len(reached)
