"""The rate of the label by the words of a cross's two columns, as a report draws it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from easyrec.tune.cross.codes import Codes, pairs
from easyrec.tune.cross.session import Session

WORDS = 24
"""Words of a side: the most frequent ones."""
LEAST = 20
"""Rows of a cell that is coloured."""


def heat(session: Session, columns: tuple[str, ...]) -> dict[str, Any]:
    """The map of a cross of two columns, over the rows of `train`."""
    train = session.searched.train
    labels = session.searched.labels[train]
    (one, rows), (other, heads) = (_side(session, name) for name in columns)
    left, right, _ = pairs(one, other)
    of = np.repeat(np.arange(len(labels)), one.lengths * other.lengths)
    places = left.astype(np.int64) * other.size + right
    shape = (one.size, other.size)
    shown = np.bincount(places, minlength=one.size * other.size).reshape(shape)[1:, 1:]
    clicked = np.bincount(places, labels[of], minlength=one.size * other.size).reshape(shape)[1:, 1:]
    rate = np.where(shown >= LEAST, clicked / np.maximum(shown, 1), np.nan)
    return {
        "columns": list(columns),
        "rows": rows,
        "heads": heads,
        "rate": [[None if math.isnan(value) else float(value) for value in line] for line in rate],
        "shown": shown.tolist(),
    }


def _side(session: Session, name: str) -> tuple[Codes, list[str]]:
    """The most frequent words of a column as codes from 1, numbers in their order, and what they are called."""
    codes, words = session.crossed_words(name)
    codes = codes.slice(session.searched.train)
    counts = np.bincount(codes.values, minlength=codes.size)
    counts[0] = 0
    top = [int(code) for code in np.argsort(-counts, kind="stable")[:WORDS] if counts[code]]
    if session.columns[name].kind == "numbers":
        top.sort()
    elif all(_number(words[code - 1]) for code in top):
        top.sort(key=lambda code: float(words[code - 1]))
    place = np.zeros(codes.size, np.int32)
    place[top] = np.arange(1, len(top) + 1)
    return Codes(place[codes.values], len(top) + 1, codes.offsets), [words[code - 1] for code in top]


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
