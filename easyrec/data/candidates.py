"""How the candidates of a batch lie side by side, and which of them a position is spared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from easyrec.data.samplers import Draw, Lists
from easyrec.data.samplers._distinct import distinct


@dataclass(frozen=True)
class Candidates:
    """Items that P positions are compared with; the parts are those of `easyrec.batch.Matches`.

    Attributes:
        items: (C,) int64, numbers in the catalogue: the positions' own where these are not among the shared ones, the
            shared ones, and what single positions have beside them.
        targets: (P,) int64, where among them the position's own stands.
        shared: Where among them the shared ones begin and end.
        log_q: (C,) float32; None: all alike.
        spared: (2, S) int64, positions, and which of the shared ones each is not compared with; None: no such.
        apart: (P, H) int64, where among them those of single positions stand, -1 for none; None: no such.
    """

    items: np.ndarray
    targets: np.ndarray
    shared: tuple[int, int]
    log_q: np.ndarray | None = None
    spared: np.ndarray | None = None
    apart: np.ndarray | None = None


class Arranger:
    """Lays out candidates; what it needs to look items up is kept from batch to batch.

    Args:
        count: Items of the catalogue.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.places = np.full(count, -1, np.int64)  # of the batch's items among its candidates; -1 for others

    def __call__(
        self,
        own: np.ndarray,
        rows: np.ndarray,
        draw: Draw,
        apart: np.ndarray | None = None,
        known: Lists | None = None,
    ) -> Candidates:
        """The candidates of a batch.

        Args:
            own: (P,) int64, the positions' own items.
            rows: (P,) int64, whose they are.
            draw: What all share.
            apart: (P, H) int64, items that single positions have beside that, each once; -1 for none.
            known: Items that a row is not compared with.
        """
        items, first, log_q = draw.items, 0, draw.log_q
        if not draw.inside:
            mine = distinct(own)
            items, first = np.concatenate([mine, draw.items]), len(mine)
            log_q = None if log_q is None or draw.own_log_q is None else np.concatenate([draw.own_log_q, log_q])
        end = len(items)
        self.places[items[:first]] = np.arange(first)
        targets = self.places[own] if first else None
        self.places[items[first:]] = np.arange(first, end)
        targets = self.places[own] if targets is None else targets
        spared = []
        if known is not None:
            spared.append(self._known(own, rows, known, first))
        if apart is not None:
            apart = _without(apart, own, rows, known, self.count)
            position, column = np.nonzero(apart >= 0)
            places = self.places[apart[position, column]]
            twice = places >= first
            spared.append(np.stack([position[twice], places[twice] - first]))
            new = distinct(apart[position, column][places < 0])
            self.places[new] = np.arange(end, end + len(new))
            items = np.concatenate([items, new])
            log_q = None if log_q is None else np.concatenate([log_q, np.zeros(len(new), np.float32)])
            apart = np.where(apart >= 0, self.places[apart], -1)
        self.places[items] = -1
        pairs = np.concatenate(spared, axis=1) if spared else None
        return Candidates(items, targets, (first, end), log_q, pairs, apart)

    def _known(self, own: np.ndarray, rows: np.ndarray, known: Lists, first: int) -> np.ndarray:
        """(2, S), positions, and the shared candidates that their rows know; a position keeps its own item."""
        of_row = np.repeat(np.arange(len(known.offsets) - 1), np.diff(known.offsets))
        places = np.where(known.items >= 0, self.places[known.items], -1)
        met = places >= first
        sizes = np.bincount(of_row[met], minlength=len(known.offsets) - 1)
        starts, each = np.cumsum(sizes) - sizes, sizes[rows]
        position = np.repeat(np.arange(len(rows)), each)
        within = np.arange(len(position)) - np.repeat(np.cumsum(each) - each, each)
        place = places[met][np.repeat(starts[rows], each) + within]
        other = place != self.places[own][position]
        return np.stack([position[other], place[other] - first])


def _without(apart: np.ndarray, own: np.ndarray, rows: np.ndarray, known: Lists | None, count: int) -> np.ndarray:
    """The items of single positions less their own, and less what their rows know."""
    gone = apart == own[:, None]
    if known is not None:
        of_row = np.repeat(np.arange(len(known.offsets) - 1), np.diff(known.offsets))
        gone |= np.isin(rows[:, None] * count + apart, (of_row * count + known.items)[known.items >= 0]) & (apart >= 0)
    return np.where(gone, -1, apart)
