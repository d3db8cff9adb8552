"""Classes of characters that normalisation speaks of, as RE2 and plain Python know them."""

from __future__ import annotations

import unicodedata

SPACE_CLASS = r"\t\n\v\f\r\x{85}\p{Z}"
"""White space inside a class of RE2: tab to carriage return, U+0085, and Unicode's separators (Z)."""
WORD_CLASS = r"\p{L}\p{M}\p{N}" + SPACE_CLASS
"""What the filter keeps: letters, marks, numbers and white space."""
HAN = ((0x3005, 0x3005), (0x3007, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
"""Chinese characters: U+3005, U+3007, the unified and compatibility ideographs, and the two planes kept for them."""
HAN_CLASS = "".join(rf"\x{{{low:x}}}-\x{{{high:x}}}" for low, high in HAN)


def is_space(char: str) -> bool:
    """Whether it is white space."""
    return char in "\t\n\v\f\r\x85" or unicodedata.category(char)[0] == "Z"


def is_word(char: str) -> bool:
    """Whether the filter keeps it."""
    return unicodedata.category(char)[0] in "LMN" or is_space(char)


def is_han(char: str) -> bool:
    """Whether it is a Chinese character."""
    return any(low <= ord(char) <= high for low, high in HAN)
