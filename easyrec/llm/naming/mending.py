"""`Mender`: words that nobody knows become those that they are most like: typos."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from easyrec.llm.naming.letters import Letters, alike
from easyrec.retrieval.keyword.words import DENSE

SHORTEST = 5
"""Letters of a word that is mended at least, and of one that it becomes."""
ALIKE = 0.79
"""So like must they be: one edit in five letters, two in ten."""
NEAR = 6
"""Words that are compared letter by letter."""
IS_DENSE = re.compile(rf"[{DENSE}]")


class Mender:
    """Mends words.

    Args:
        known: Words that stand in names, folded.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._every = frozenset(known)
        self._known = sorted(word for word in self._every if len(word) >= SHORTEST and not IS_DENSE.search(word))
        self._letters = Letters(self._known)

    def __call__(self, names: Sequence[str]) -> list[str]:
        """Names with mended words; those of one whose words are known, or like none, stay.

        Args:
            names: Folded.
        """
        strange = sorted({word for name in names for word in name.split() if self._may(word)})
        if not strange or not self._known:
            return list(names)
        asked, near = self._letters.nearest(strange, NEAR)
        same = alike([strange[one] for one in asked.tolist()], [self._known[one] for one in near.tolist()])
        order = np.lexsort((near, -same, asked))
        mended: dict[str, str] = {}
        for one in order[same[order] >= ALIKE].tolist():
            mended.setdefault(strange[asked[one]], self._known[near[one]])
        return [" ".join(mended.get(word, word) for word in name.split()) for name in names]

    def _may(self, word: str) -> bool:
        return len(word) >= SHORTEST and word not in self._every and not IS_DENSE.search(word) and not word.isdecimal()
