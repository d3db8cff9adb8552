"""Traditional to simplified Chinese by OpenCC (`t2s`), of the extra `text`."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_generator.errors import MissingExtra
from feature_generator.text.buffers import join, split

LINE = ord("\n")


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


def simplify(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """The texts in simplified Chinese; without nulls.

    One call converts all, joined by line feeds. OpenCC replaces the longest entry of its dictionaries that starts at
    a character, else goes on one character; no entry and no replacement holds a line feed, so none reaches over one,
    and every line becomes what it becomes alone. Line feeds in the texts themselves are counted, not searched.
    """
    offsets, data = split(texts)
    if len(data) == 0 or data.max() < 0x80:
        return texts
    lists = pa.LargeListArray.from_arrays(pa.array([0, len(texts)]), texts)
    joined = pc.binary_join(lists, pa.scalar("\n", pa.large_string()))[0].as_py()
    made = np.frombuffer(converter().convert(joined).encode(), np.uint8)
    lines = np.flatnonzero(made == LINE)
    order = np.arange(len(texts) - 1)
    within = np.searchsorted(np.flatnonzero(data == LINE), offsets[1:-1])  # line feeds in the texts so far
    between = lines[within + order]
    kept = np.ones(len(made), np.bool_)
    kept[between] = False
    return join(np.concatenate([[0], between - order, [len(made) - len(between)]]), made[kept])
