"""Classes and cases of characters, by the Unicode tables of Python."""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt

WORD, SPACE, HAN = 1, 2, 4
CHINESE = ((0x3005, 0x3005), (0x3007, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
CASED = 0x20000
"""No character from here on has a case."""


@cache
def classes() -> npt.NDArray[np.uint8]:
    """(0x110000,) flags of every code point.

    `WORD`: what the filter keeps, that is letters, marks and numbers (L, M, N) and white space. `SPACE`: white space,
    that is tab to carriage return, U+0085, and separators (Z). `HAN`: Chinese characters, that is the unified and
    compatibility ideographs, the two planes kept for more of them, and the characters U+3005 and U+3007.
    """
    kinds = np.array([unicodedata.category(chr(code))[0] for code in range(0x110000)])
    space = kinds == "Z"
    space[[*range(0x09, 0x0E), 0x85]] = True
    word = np.isin(kinds, ["L", "M", "N"]) | space
    flags: npt.NDArray[np.uint8] = word.astype(np.uint8) * np.uint8(WORD) + space.astype(np.uint8) * np.uint8(SPACE)
    for low, high in CHINESE:
        flags[low : high + 1] |= np.uint8(HAN)
    return flags


@cache
def cases(upper: bool) -> npt.NDArray[np.uint32]:
    """(0x20000,) the one code point that is the upper or lower case of each, or itself where there is only a longer one."""
    made = np.arange(CASED, dtype=np.uint32)
    for code in range(CASED):
        char = chr(code)
        # Where the upper case is longer, such as that of U+1F80, the title case may still be one character.
        for other in (char.upper(), char.title()) if upper else (char.lower(), char.lower()[0]):
            if len(other) == 1:
                made[code] = ord(other)
                break
    return made
