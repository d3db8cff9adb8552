"""Full width to half width: U+FF01 .. U+FF5E become `!` .. `~`, the ideographic space U+3000 a blank."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from feature_generator.text.buffers import join, split


def half_width(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """The texts in half width; without nulls.

    All these characters have three bytes in UTF-8 and become one: EF BC 81 .. EF BC BF are U+FF01 .. U+FF3F,
    EF BD 80 .. EF BD 9E are U+FF40 .. U+FF5E, E3 80 80 is U+3000. No other character holds such a run of bytes.
    """
    offsets, data = split(texts)
    first = np.flatnonzero((data[:-2] == 0xEF) | (data[:-2] == 0xE3))
    if len(first) == 0:
        return texts
    lead, second, third = data[first], data[first + 1], data[first + 2]
    low = (lead == 0xEF) & (second == 0xBC) & (third >= 0x81)
    high = (lead == 0xEF) & (second == 0xBD) & (third <= 0x9E)
    blank = (lead == 0xE3) & (second == 0x80) & (third == 0x80)
    hits = low | high | blank
    if not hits.any():
        return texts
    first = first[hits]
    made = np.where(low, third - 0x60, np.where(high, third - 0x20, 0x20))[hits]
    changed = data.copy()
    changed[first] = made.astype(np.uint8)
    kept = np.ones(len(data), np.bool_)
    kept[first + 1] = kept[first + 2] = False
    return join(offsets - 2 * np.searchsorted(first, offsets), changed[kept])
