"""The text features in plain Python, one text at a time: the specification of this package."""

from __future__ import annotations

import re
import unicodedata

from feature_generator.text.normalizer import NormalizerConfig
from feature_generator.text.simplified import converter


def normalize(text: str, config: NormalizerConfig, stops: str = "") -> str:
    """One text, normalised."""
    options = config.norm_options
    chars = [c for c in text if c not in stops]
    if "TEXT_SBC2DBC" in options:
        chars = [_half(c) for c in chars]
    if "TEXT_CHT2CHS" in options:
        chars = list(converter().convert("".join(chars)))
    if "TEXT_LOWER2UPPER" in options:
        chars = [upper(c) for c in chars]
    if "TEXT_UPPER2LOWER" in options:
        chars = [lower(c) for c in chars]
    chars = [c for c in chars if c not in stops]
    if "TEXT_FILTER" in options:
        chars = [c for c in chars if is_word(c)]
    if "TEXT_REMOVE_SPACE" in options:
        chars = [c for c in chars if not is_space(c)]
    chars = chars[: config.max_length]
    if "TEXT_SPLITCHRS" not in options:
        return "".join(chars)
    words = "".join(f" {c} " if is_han(c) else " " if is_space(c) else c for c in chars)
    return " ".join(word for word in words.split(" ") if word)


def _half(char: str) -> str:
    if char == "\u3000":
        return " "
    return chr(ord(char) - 0xFEE0) if "\uff01" <= char <= "\uff5e" else char


def is_space(char: str) -> bool:
    """Whether it is white space."""
    return char in "\t\n\v\f\r\x85" or unicodedata.category(char)[0] == "Z"


def is_word(char: str) -> bool:
    """Whether the filter keeps it."""
    return unicodedata.category(char)[0] in "LMN" or is_space(char)


def is_han(char: str) -> bool:
    """Whether it is a Chinese character."""
    ranges = (
        (0x3005, 0x3005),
        (0x3007, 0x3007),
        (0x3400, 0x4DBF),
        (0x4E00, 0x9FFF),
        (0xF900, 0xFAFF),
        (0x20000, 0x3FFFF),
    )
    return any(low <= ord(char) <= high for low, high in ranges)


def upper(char: str) -> str:
    """The one character that is its upper case, or itself where Unicode knows only a longer one."""
    return next((c for c in (char.upper(), char.title()) if len(c) == 1), char)


def lower(char: str) -> str:
    """The one character that is its lower case."""
    return char.lower()[0]


def replace(text: str, pattern: str, replacement: str, every: bool = True) -> str:
    """Every match replaced, or the first, left to right; an empty match right behind another match is none.

    Python's own engine, so patterns must mean the same to both: ASCII classes, no Unicode classes, no flags but `i`.
    """
    compiled = re.compile(pattern, re.ASCII)
    made, at, end = "", 0, -1
    while (match := compiled.search(text, at)) is not None:
        made += text[at : match.start()]
        if match.end() == match.start() == end:
            made += text[end : end + 1]
            at, end = end + 1, -1
            if at > len(text):
                break
            continue
        made += _expand(replacement, match)
        at = end = match.end()
        if not every:
            break
    return made + text[at:]


def _expand(replacement: str, match: re.Match[str]) -> str:
    return re.sub(
        r"\\(.)",
        lambda escape: "\\" if escape[1] == "\\" else match[int(escape[1])] or "",
        replacement,
        flags=re.DOTALL,
    )
