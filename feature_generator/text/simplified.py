"""Traditional to simplified Chinese by OpenCC (`t2s`), of the extra `text`."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from feature_generator.errors import MissingExtra
from feature_generator.text.codes import Codes, Offsets, from_text, to_text

LINE = ord("\n")
EARLIEST = 0x2E80
"""Characters before this one are in no dictionary of OpenCC's."""


@cache
def converter() -> Any:
    """OpenCC's converter from traditional to simplified characters and words.

    Raises:
        MissingExtra: OpenCC is not installed.
    """
    try:
        import opencc  # noqa: PLC0415 (an extra)
    except ImportError:
        raise MissingExtra("opencc", "text") from None
    return opencc.OpenCC("t2s")


def simplify(offsets: Offsets, codes: Codes) -> tuple[Offsets, Codes]:
    """The texts in simplified Chinese.

    One call converts all, joined by line feeds. OpenCC replaces the longest entry of its dictionaries that starts at
    a character, else goes on one character; no entry and no replacement holds a line feed, so none reaches over one,
    and every line becomes what it becomes alone. Line feeds in the texts themselves are counted, not searched.
    """
    if len(codes) == 0 or codes.max() < EARLIEST:
        return offsets, codes
    joined = np.insert(codes, offsets[1:-1], LINE)
    made = from_text(converter().convert(to_text(joined)))
    order = np.arange(len(offsets) - 2)
    within = np.searchsorted(np.flatnonzero(codes == LINE), offsets[1:-1])  # line feeds in the texts so far
    between = np.flatnonzero(made == LINE)[within + order]
    return np.concatenate([[0], between - order, [len(made) - len(between)]]), np.delete(made, between)
