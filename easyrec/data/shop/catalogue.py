"""The shop's items: categories, brands, prices, tags, birth days, and how often each is met."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from easyrec.data.shop.category_names import CategoryName, category_names
from easyrec.data.shop.draws import Draws, Floats, Ints, pick, rounded
from easyrec.data.shop.users import NUM_TOPICS
from easyrec.data.shop.words import ADJECTIVES, CLICKBAIT_TAG, MOMENT_TAGS, STYLE_TAGS, TAGS, brand_name

DAYS = 30
NUM_CATES = 200
NUM_PARENTS = 20
NUM_SECTIONS = 5
NUM_BRANDS = 2_000
NUM_HEAD_BRANDS = 40
MAX_TAGS = 4
NUM_ITEMS = {"small": 10_000, "large": 100_000}

# Of 100 items, 70 are in the shop from the start and 30 arrive during its 30 days.
_NEW_SHARE = 0.3
_OLDEST_BIRTH_DAY = -365
_YOUNGEST_OLD_BIRTH_DAY = -30  # before the first behaviour, so that every category can always be met


@dataclass(frozen=True)
class Catalogue:
    """Columns of the items, indexed by item_id, and the orders that drawing needs.

    Attributes:
        cate: (n,) leaf 0..199; its parent is ``cate // 10``, its section ``cate // 40``.
        brand: (n,) 0..1999; ``brand // 400`` is the section it sells in, the first 8 of each section are head brands.
        price: (n,) in yuan.
        tags: (n, 4) indices into TAGS, -1 behind the last.
        moment: (n,) index into MOMENT_TAGS, -1 for items without one.
        clickbait: (n,) whether the item carries the clickbait tag.
        birth_day: (n,) first day of sale; day 1 is the first logged day.
    """

    cate: Ints
    brand: Ints
    price: Floats
    tags: Ints
    moment: Ints
    clickbait: npt.NDArray[np.bool_]
    birth_day: Ints
    leaf_weight: Floats  # (200,) how often a leaf is met
    topic: Floats  # (20, 2) what a parent category offers to tastes
    cumulative: Floats  # (n + 1,) running weight over `by_leaf`
    by_leaf: Ints  # (n,) items sorted by leaf, then birth day
    leaf_start: Ints  # (201,) first position of each leaf in `by_leaf`
    leaf_live: Ints  # (200, 31) end of the items of a leaf that are on sale on day 0..30
    by_birth: Ints  # (n,) items sorted by birth day
    live: Ints  # (31,) number of items on sale on day 0..30

    def __len__(self) -> int:
        return len(self.cate)

    def draw_leaf(self, uniform: Floats) -> Ints:
        """Leaves in proportion to how often they are met."""
        return pick(np.cumsum(self.leaf_weight), uniform)

    def draw_tasted_leaf(self, taste: Floats, strength: float, uniform: Floats) -> Ints:
        """Leaves (n, k) for tastes (n, 2) and uniforms (n, k): parents by weight * exp(strength * taste . topic)."""
        per_parent = NUM_CATES // NUM_PARENTS
        weight = self.leaf_weight.reshape(NUM_PARENTS, per_parent)
        appeal = taste[:, :1] * self.topic[:, 0] + taste[:, 1:] * self.topic[:, 1]
        running = np.cumsum(weight.sum(axis=1) * np.exp(strength * appeal), axis=1)  # (n, 20)
        target = uniform * running[:, -1:]
        parent = np.minimum(_passed(running, target), NUM_PARENTS - 1)
        # What is left of the uniform inside the parent's share draws the leaf.
        edges = np.concatenate([np.zeros((len(taste), 1)), running], axis=1)
        low, high = np.take_along_axis(edges, parent, axis=1), np.take_along_axis(edges, parent + 1, axis=1)
        within = np.cumsum(weight, axis=1)
        place = (target - low) / (high - low) * within[parent, -1]
        leaf = np.minimum(_passed(within[parent], place), per_parent - 1)
        drawn: Ints = parent * per_parent + leaf
        return drawn

    def draw_item(self, uniform: Floats, leaf: Ints, day: Ints) -> Ints:
        """Items of a leaf on sale on a day (<= 0 stands for every day before the first), by popularity."""
        start, stop = self.leaf_start[leaf], self.leaf_live[leaf, np.maximum(day, 0)]
        low, high = self.cumulative[start], self.cumulative[stop]
        place = np.searchsorted(self.cumulative, low + uniform * (high - low), side="right") - 1
        return self.by_leaf[np.clip(place, start, stop - 1)]

    def item_table(self) -> pa.Table:
        """One row per item with the columns that exposures carry."""
        return pa.table(
            {
                "item_id": np.arange(len(self)),
                "cate": self.cate,
                "brand": self.brand,
                "price": self.price.astype(np.float32),
                "title": pa.array(self._titles(), pa.string()),
                "tags": self._tag_lists(),
                "birth_day": self.birth_day.astype(np.int32),
            }
        )

    def _titles(self) -> list[str]:
        names, brands = category_names(), [brand_name(brand) for brand in range(NUM_BRANDS)]
        titles = []
        for item, (cate, brand) in enumerate(zip(self.cate.tolist(), self.brand.tolist(), strict=True)):
            name, (english, chinese) = names[cate], brands[brand]
            adjective = ADJECTIVES[item * 7 % len(ADJECTIVES)]
            plain = item % 3 > 0  # every third title uses the paraphrase
            titles.append(
                f"{english} {adjective[0]} {name.english if plain else name.english_paraphrase} "
                f"{chinese} {adjective[1]}{name.chinese if plain else name.chinese_paraphrase}"
            )
        return titles

    def _tag_lists(self) -> pa.ListArray:
        used = self.tags >= 0
        offsets = np.concatenate([[0], np.cumsum(used.sum(axis=1))]).astype(np.int32)
        return pa.ListArray.from_arrays(offsets, pa.array(TAGS).take(pa.array(self.tags[used])))


def category_table() -> pa.Table:
    """One row per leaf: ids and the names and paraphrases in both languages."""
    names = category_names()
    texts = {field: [getattr(name, field) for name in names] for field in CategoryName.__dataclass_fields__}
    cate = np.arange(NUM_CATES)
    return pa.table({"cate": cate, "parent": cate // (NUM_CATES // NUM_PARENTS), **texts})


def _passed(edges: Floats, target: Floats) -> Ints:
    """How many of the edges in the last axis, (n, 1, e) or (n, e), are at most a target (n, k): one edge of all at a time."""
    passed = np.zeros(target.shape, dtype=np.int64)
    for edge in range(edges.shape[-1]):
        found = edges[..., edge]
        passed += (found if found.ndim == 2 else found[:, None]) <= target
    return passed


def make_catalogue(seed: int, size: str) -> Catalogue:
    """Draws the catalogue of a seed; ``size`` is a key of NUM_ITEMS."""
    draws = _Named(seed, size)
    n = NUM_ITEMS[size]
    leaf_weight = _leaf_weights(draws)
    cate = pick(np.cumsum(leaf_weight), draws("cate").uniform(n))
    cate[:NUM_CATES] = np.arange(NUM_CATES)  # no leaf is empty
    birth_day = _birth_days(draws, n)
    moment, tags, clickbait = _tags(draws, n)
    # A few items are met all the time, most of them rarely; so are brands.
    rank = np.argsort(draws("rank").uniform(n), kind="stable")
    brand = _brands(draws, cate)
    weight = rounded(1.0 / (rank + 5.0) / (brand % (NUM_BRANDS // NUM_SECTIONS) + 1.0) ** 0.7, 12)

    by_leaf = np.lexsort((birth_day, cate))
    leaf_start = np.searchsorted(cate[by_leaf], np.arange(NUM_CATES + 1))
    days = np.arange(DAYS + 1)
    key = cate[by_leaf] * 1_000 + birth_day[by_leaf]
    by_birth = np.argsort(birth_day, kind="stable")
    return Catalogue(
        cate=cate,
        brand=brand,
        price=_prices(draws, cate),
        tags=tags,
        moment=moment,
        clickbait=clickbait,
        birth_day=birth_day,
        leaf_weight=leaf_weight,
        topic=_topics(draws),
        cumulative=np.concatenate([[0.0], np.cumsum(weight[by_leaf])]),
        by_leaf=by_leaf,
        leaf_start=leaf_start,
        leaf_live=np.searchsorted(key, np.arange(NUM_CATES)[:, None] * 1_000 + days, side="right"),
        by_birth=by_birth,
        live=np.searchsorted(birth_day[by_birth], days, side="right"),
    )


class _Named:
    """The streams of one seed and size."""

    def __init__(self, seed: int, size: str) -> None:
        self._root = ("shop", 1, seed, "catalogue", size)

    def __call__(self, name: str) -> Draws:
        return Draws(*self._root, name)


def _leaf_weights(draws: _Named) -> Floats:
    """Zipf's law inside each parent, in an order of chance; parents differ less."""
    per_parent = NUM_CATES // NUM_PARENTS
    rank = np.argsort(np.argsort(draws("leaf").uniform(NUM_PARENTS, per_parent), axis=1), axis=1)
    parent = np.exp(0.3 * draws("parent").normal(NUM_PARENTS, 1))
    return rounded((parent * (rank + 1.0) ** -1.7).reshape(-1))


def _topics(draws: _Named) -> Floats:
    """Topic vectors of the parents, with mean 0 and covariance 1 whatever the seed."""
    topic = draws("topic").normal(NUM_PARENTS, NUM_TOPICS)
    topic -= topic.mean(axis=0)
    for k in range(NUM_TOPICS):  # Gram and Schmidt
        for j in range(k):
            topic[:, k] -= topic[:, j] * (topic[:, j] * topic[:, k]).sum() / (topic[:, j] ** 2).sum()
    return rounded(topic * np.sqrt(NUM_PARENTS / (topic**2).sum(axis=0)))


def _birth_days(draws: _Named, n: int) -> Ints:
    u = draws("birth").uniform(n, 2)
    old = _OLDEST_BIRTH_DAY + np.floor(u[:, 1] * (_YOUNGEST_OLD_BIRTH_DAY - _OLDEST_BIRTH_DAY + 1))
    new = 1 + np.floor(u[:, 1] * DAYS)
    birth_day = np.where(u[:, 0] < _NEW_SHARE, new, old).astype(np.int64)
    birth_day[:NUM_CATES] = _OLDEST_BIRTH_DAY
    birth_day[NUM_CATES : NUM_CATES + DAYS] = np.arange(1, DAYS + 1)  # no day without a new item
    return birth_day


def _brands(draws: _Named, cate: Ints) -> Ints:
    """Each section has 400 brands of its own, met by Zipf's law."""
    per_section = NUM_BRANDS // NUM_SECTIONS
    rank = pick(np.cumsum(1.0 / np.arange(1, per_section + 1)), draws("brand").uniform(len(cate)))
    return cate // (NUM_CATES // NUM_SECTIONS) * per_section + rank


def _prices(draws: _Named, cate: Ints) -> Floats:
    leaf = 0.4 * draws("leaf price").normal(NUM_CATES)
    return rounded(np.exp(3.9 + leaf[cate] + 0.8 * draws("price").normal(len(cate))), 2)


def _tags(draws: _Named, n: int) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
    u = draws("tags").uniform(n, 6)
    moment = np.where(u[:, 0] < 0.85, np.floor(u[:, 1] * len(MOMENT_TAGS)), -1).astype(np.int64)
    clickbait = u[:, 2] < 0.12
    first = np.where(u[:, 3] < 0.7, np.floor(u[:, 4] * len(STYLE_TAGS)), -1).astype(np.int64)
    second = np.where(u[:, 3] < 0.3, (first + 1 + np.floor(u[:, 5] * (len(STYLE_TAGS) - 1))) % len(STYLE_TAGS), -1)
    styles = np.stack([first, second.astype(np.int64)], axis=1)
    tags = np.concatenate(
        [
            moment[:, None],
            np.where(styles >= 0, styles + len(MOMENT_TAGS), -1),
            np.where(clickbait, TAGS.index(CLICKBAIT_TAG), -1)[:, None],
        ],
        axis=1,
    )
    empty_last = np.argsort(tags < 0, axis=1, kind="stable")
    return moment, np.take_along_axis(tags, empty_last, axis=1), clickbait
