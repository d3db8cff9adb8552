"""`Names`: which id of a catalogue a free name means, or that it means none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from easyrec.errors import DataError
from easyrec.llm.embedders import Embedder
from easyrec.llm.naming.calibrations import OURS
from easyrec.llm.naming.catalogue import Catalogue
from easyrec.llm.naming.config import NamesConfig
from easyrec.llm.naming.forms import LONGEST, folded
from easyrec.llm.naming.scoring import Calibration, Nearness
from easyrec.llm.telling import seen

Reason = Literal["exact", "folded", "path", "scored", "empty", "long", "ambiguous", "unknown"]
"""How a name was mapped (the first four), or why not."""
BATCH = 1024
"""Names that are compared at a time."""
LEAD = 0.2
"""By so much the levels above one of several equal names must be nearer than those above the others."""
STEPS = 200
"""Thresholds that are tried."""
MARGINS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3)


@dataclass(frozen=True)
class Mapped:
    """What a name means.

    Attributes:
        id: The id; None where it means none of the catalogue, or it is not sure which.
        how: How it was found, or why it was not.
        score: The probability that it means the nearest one.
        runner_up: That of the next id.
        nearest: The catalogue's name that is nearest, also where it is not taken; empty where nothing is near.
    """

    id: Any
    how: Reason
    score: float = 0.0
    runner_up: float = 0.0
    nearest: str = ""


class Names:
    """Maps names. Any number of threads may use it; close it, or use it as `with`.

    Args:
        config: The table, and how sure a name must be.
        embedder: What makes vectors of names; without, paraphrases in other words are not found.

    Raises:
        ConfigError: The table lacks a column, or the language is not known.
        DataError: The table cannot be read, holds an id twice, no name, or too many.
        MissingExtra: What finds words is not installed: the extra `rag`.
    """

    def __init__(self, config: NamesConfig, embedder: Embedder | None = None) -> None:
        self.config = config
        self.catalogue = Catalogue(config, embedder)
        self.calibration = config.calibration or OURS[embedder is not None, config.titles is not None]
        self.threshold = self.calibration.threshold if config.threshold is None else config.threshold
        self.margin = self.calibration.margin if config.margin is None else config.margin

    def map(self, names: Sequence[str]) -> list[Mapped]:
        """What each name means, in their order.

        Args:
            names: Whatever somebody wrote.
        """
        found: list[Mapped | None] = []
        waiting: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            told = self._told(name)
            found.append(told)
            if told is None:
                waiting.setdefault(seen(name).strip(), []).append(place)
        for name, mapped in zip(waiting, self._scored(list(waiting)), strict=True):
            for place in waiting[name]:
                found[place] = mapped
        return [one for one in found if one is not None]

    def _told(self, name: str) -> Mapped | None:
        """What is known without comparing."""
        name = seen(name).strip()
        if not folded(name):
            return Mapped(None, "empty")
        if len(name) > LONGEST:
            return Mapped(None, "long")
        held = self.catalogue
        levels = held.forms.levels(name) or [name]
        kinds: list[tuple[Reason, set[int]]] = [
            ("exact", held.exact.get(name, set())),
            ("folded", held.bags.get(held.forms.bag(levels), set())),
            ("folded", held.joined.get(held.forms.joined(levels), set())),
        ]
        if len(levels) > 1:
            kinds.append(("path", held.bags.get(held.forms.bag(levels[-1:]), set())))
        several: list[int] = []
        for how, entries in kinds:
            if len(entries) == 1:
                (number,) = entries
                return Mapped(held.entries[number].id, how, 1.0, 0.0, held.entries[number].name)
            several = several or sorted(entries)
        if not several:
            return None
        best = self._by_kin(levels[:-1], several)
        if best is not None:
            return Mapped(held.entries[best].id, "path", 1.0, 0.0, held.entries[best].name)
        return Mapped(None, "ambiguous", 0.5, 0.5, held.entries[several[0]].name)

    def _by_kin(self, above: Sequence[str], entries: Sequence[int]) -> int | None:
        """The one of several entries that the levels above a name point to."""
        if not above:
            return None
        kin = sorted(((self.catalogue.kinship(above, entry), entry) for entry in entries), reverse=True)
        return kin[0][1] if kin[0][0] - kin[1][0] >= LEAD else None

    def _scored(self, names: Sequence[str]) -> list[Mapped]:
        """What names mean that none of the catalogue's is equal to."""
        made: list[Mapped] = []
        for start in range(0, len(names), BATCH):
            some = names[start : start + BATCH]
            asked, entry, score = self._best(some)
            first = np.searchsorted(asked, np.arange(len(some) + 1))
            for number, name in enumerate(some):
                own = slice(first[number], first[number + 1])
                made.append(self._decided(name, entry[own], score[own]))
        return made

    def _best(
        self, names: Sequence[str]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Names and the entries near them with scores, the best first for each name."""
        asked, text, near = self._near(names)
        entry, score = self.catalogue.owner[text], self.calibration.score(near)
        return _each_best(asked, entry, score)

    def _near(self, names: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Nearness]:
        levels = [self.catalogue.forms.levels(name) or [name] for name in names]
        return self.catalogue.near([each[-1] for each in levels], self.config.candidates)

    def _decided(self, name: str, entries: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]) -> Mapped:
        """What a name means by the scores of entries, the best first."""
        if not len(entries):
            return Mapped(None, "unknown")
        best, second = float(scores[0]), float(scores[1]) if len(scores) > 1 else 0.0
        held, first = self.catalogue, int(entries[0])
        if best < self.threshold:
            return Mapped(None, "unknown", best, second, held.entries[first].name)
        if best - second < self.margin:
            tied = entries[scores > best - self.margin].tolist()
            chosen = self._by_kin((held.forms.levels(name) or [name])[:-1], tied)
            if chosen is None:
                return Mapped(None, "ambiguous", best, second, held.entries[first].name)
            first = chosen
        return Mapped(held.entries[first].id, "scored", best, second, held.entries[first].name)

    def calibrated(
        self, names: Sequence[str], ids: Sequence[Any], *, precision: float = 0.97, rejected: float = 0.97
    ) -> Calibration:
        """A calibration by names whose ids are known: its bounds find most where so many are right, on these names.

        Args:
            names: Free names, with such as the catalogue has not.
            ids: What each means; None: nothing of the catalogue.
            precision: The least share of mapped names that are mapped to their id.
            rejected: The least share that is rejected of those that mean nothing.

        Raises:
            DataError: There are too few names of either kind.
        """
        wanted = list(ids)
        waiting = [place for place, name in enumerate(names) if self._told(name) is None]
        asked, text, near = self._near([seen(names[place]).strip() for place in waiting])
        entry = self.catalogue.owner[text]
        known = {one.id: number for number, one in enumerate(self.catalogue.entries)}
        right = np.array([known.get(wanted[place], -1) for place in waiting], np.int64)
        same = entry == right[asked] if len(asked) else np.zeros(0, bool)
        if same.sum() < 10 or (~same).sum() < 10:
            raise DataError(
                "too few names are neither equal to one of the catalogue nor far from all: none can be learned from"
            )
        made = Calibration.fitted(near, same)
        asked, entry, score = _each_best(asked, entry, made.score(near))
        first = np.searchsorted(asked, np.arange(len(waiting) + 1))
        alone = np.diff(first) > 0
        best = np.where(alone, score[np.minimum(first[:-1], len(score) - 1)], 0.0)
        second = np.where(np.diff(first) > 1, score[np.minimum(first[:-1] + 1, len(score) - 1)], 0.0)
        hit = alone & (entry[np.minimum(first[:-1], len(entry) - 1)] == right)
        threshold, margin = _bounds(best, best - second, hit, right < 0, precision, rejected)
        return made.model_copy(update={"threshold": threshold, "margin": margin})

    def close(self) -> None:
        """Let go of what lies on disk."""
        self.catalogue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _each_best(
    asked: npt.NDArray[np.int64], entry: npt.NDArray[np.int64], score: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Of the several names of an entry the nearest alone; for each name asked for the best entry first."""
    order = np.lexsort((-score, entry, asked))
    asked, entry, score = asked[order], entry[order], score[order]
    fresh = np.ones(len(asked), bool)
    fresh[1:] = (asked[1:] != asked[:-1]) | (entry[1:] != entry[:-1])
    asked, entry, score = asked[fresh], entry[fresh], score[fresh]
    order = np.lexsort((entry, -score, asked))
    return asked[order], entry[order], score[order]


def _bounds(
    best: npt.NDArray[Any],
    lead: npt.NDArray[Any],
    hit: npt.NDArray[np.bool_],
    none: npt.NDArray[np.bool_],
    precision: float,
    rejected: float,
) -> tuple[float, float]:
    """The threshold and the margin that find most, of those that keep what was asked for; else those that come nearest to it."""
    tried = []
    for margin in MARGINS:
        for threshold in np.linspace(0.0, 1.0, STEPS + 1)[1:-1]:
            taken = (best >= threshold) & (lead >= margin)
            exact = hit[taken].mean() if taken.any() else 1.0
            away = (~taken[none]).mean() if none.any() else 1.0
            lacking = max(precision - exact, 0.0) + max(rejected - away, 0.0)
            tried.append((-lacking, float((taken & hit).sum()), float(threshold), margin))
    _, _, threshold, margin = max(tried)
    return round(threshold, 4), margin
