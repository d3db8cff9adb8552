"""`hard`: items that a row names, or that are near its own, beside what another sampler draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.data.samplers import Draw, Lists, Sampler, SamplerConfig, build
from easyrec.data.samplers._distinct import distinct
from feature_generator.config import Choice


class Config(SamplerConfig):
    """Config of `hard`."""

    type: Literal["hard"] = "hard"
    feature: str | None = None
    """Feature of the rows with ids of items, such as those that were shown and left: the row's positions, and no others, are
    compared with these."""
    index: Annotated[Any, Choice("easyrec.retrieval.indexes")] | None = None
    """In place of `feature`: finds the items whose vectors are the nearest to that of a position's own item."""
    refresh: int = Field(1, gt=0)
    """Of `index`: epochs after which the vectors of all items are made anew; before the first time there are none."""
    top: tuple[int, int] = (10, 100)
    """Of `index`: ranks among the nearest, from 0, from which and before which items are taken; the very nearest may be as
    good as the own one."""
    negatives: int = Field(16, gt=0)
    """Most of these items that a position is compared with; of more so many are drawn, all equally likely."""
    beside: Annotated[Any, Choice("easyrec.data.samplers")] = Field({"type": "in_batch"}, validate_default=True)
    """The sampler of the candidates that all positions share."""

    @field_validator("beside")
    @classmethod
    def _plain(cls, value: SamplerConfig) -> SamplerConfig:
        if value.type == "hard":
            raise ValueError("the sampler beside 'hard' is another one")
        for key in ("known", "logq"):
            if getattr(value, key) is not None:
                raise ValueError(f"'{key}' is a key of 'hard' itself, for all candidates")
        return value

    @field_validator("top")
    @classmethod
    def _some_ranks(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 0 <= value[0] < value[1]:
            raise ValueError(f"there is no rank from {value[0]} to before {value[1]}")
        return value

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.feature is None) == (self.index is None):
            raise ValueError(
                "hard items are those of a 'feature' of the row, or are found by an 'index': give one of them"
            )
        return self

    @property
    def counted(self) -> bool:
        """Whether the sampler beside it must know."""
        return bool(self.beside.counted)

    @property
    def features(self) -> dict[str, str]:
        """The row's items too."""
        return super().features | ({} if self.feature is None else {"feature": self.feature})


class Hard(Sampler):
    """With hard items apart, each position's softmax over all items stays what it is expected to be.

    A hard item that was taken is there with probability 1, in place of the same one among the shared candidates; one that
    was not is met among these as any other.

    Attributes:
        near: (N, W) int32, the items that are near each one, -1 for none; None until they are known.
    """

    near: np.ndarray | None = None

    def __init__(self, config: Config, counts: np.ndarray) -> None:
        self.beside = build(config.beside.model_copy(update={"logq": config.logq}), counts)
        super().__init__(config, counts)

    def draw(self, own: np.ndarray, random: np.random.Generator) -> Draw:
        """What the sampler beside it draws."""
        self.beside.earlier = self.earlier
        draw = self.beside.draw(own, random)
        self.earlier = self.beside.earlier
        return draw

    def apart(
        self, own: np.ndarray, rows: np.ndarray, named: Mapping[str, Lists], random: np.random.Generator
    ) -> np.ndarray:
        """(P, H), the items of each position's row, or those near its own."""
        most = self.config.negatives
        if self.config.feature is not None:
            block: np.ndarray = some_of(named["feature"], len(self.counts), most, random)[rows]
        elif self.near is None:
            block = np.full((len(own), 0), -1, np.int64)
        else:
            width = self.near.shape[1]
            ranks = random.choice(width, min(most, width), replace=False)  # for all positions the same
            block = self.near[own[:, None], ranks].astype(np.int64)
        return block


def some_of(lists: Lists, count: int, most: int, random: np.random.Generator) -> np.ndarray:
    """(B, H) int64, up to `most` different items that each row names, -1 behind the last.

    Args:
        lists: What the rows name.
        count: Items of the catalogue.
        most: How many of a row are taken.
        random: Which ones are, where there are more.
    """
    size = len(lists.offsets) - 1
    rows = np.repeat(np.arange(size), np.diff(lists.offsets))
    there = lists.items >= 0
    rows, items = np.divmod(distinct(rows[there] * count + lists.items[there]), count)
    sizes = np.bincount(rows, minlength=size)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = np.arange(len(rows)) - starts
    if sizes.max(initial=0) > most:  # in each row's own order, which is by chance
        chance = random.integers(1 << 24, size=len(rows))
        shuffled = np.sort(rows << 44 | chance << 20 | places)
        items = items[starts + (shuffled & ((1 << 20) - 1))]
    taken = places < most
    block = np.full((size, min(int(sizes.max(initial=0)), most)), -1, np.int64)
    block[rows[taken], places[taken]] = items[taken]
    return block
