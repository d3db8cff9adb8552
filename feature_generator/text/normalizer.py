"""Normalisation of texts: its keys, and how it runs over an array."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from feature_generator.config import StrictModel
from feature_generator.features import BadFileError, named_file
from feature_generator.text.characters import CASED, HAN, SPACE, WORD, cases, classes
from feature_generator.text.codes import Codes, Offsets, first, from_text, join, keep, split, total
from feature_generator.text.simplified import converter, simplify

Option: TypeAlias = Literal[
    "TEXT_LOWER2UPPER",
    "TEXT_UPPER2LOWER",
    "TEXT_SBC2DBC",
    "TEXT_CHT2CHS",
    "TEXT_FILTER",
    "TEXT_SPLITCHRS",
    "TEXT_REMOVE_SPACE",
]
OPTIONS: tuple[Option, ...] = get_args(Option)
BITS: dict[int, Option] = dict(zip((2, 4, 8, 16, 32, 512), OPTIONS, strict=False))
"""The bits of a mask; TEXT_REMOVE_SPACE has none."""


class NormalizerConfig(StrictModel):
    """How a text is normalised."""

    norm_options: list[Option] = ["TEXT_LOWER2UPPER", "TEXT_SBC2DBC", "TEXT_CHT2CHS", "TEXT_FILTER"]
    """What is done, in any order: names, or a bit mask. It is applied in the order of the documentation."""
    max_length: int | None = Field(None, ge=1)
    """Characters that are kept of the normalised text; by default all."""
    stop_char_file: str | None = None
    """File of characters to remove; line ends and white space in it do not count."""

    @field_validator("norm_options", mode="before", json_schema_input_type=int | list[Option | int])
    @classmethod
    def _names(cls, value: Any) -> Any:
        listed = value if isinstance(value, list) else [value]
        names: set[Any] = set()
        for entry in listed:
            if isinstance(entry, int) and not isinstance(entry, bool):
                names |= set(_of_mask(entry))
            elif entry in OPTIONS:
                names.add(entry)
            else:
                return value  # pydantic names what is accepted
        return [option for option in OPTIONS if option in names]

    @field_validator("norm_options")
    @classmethod
    def _one_case(cls, value: list[Option]) -> list[Option]:
        if "TEXT_LOWER2UPPER" in value and "TEXT_UPPER2LOWER" in value:
            raise ValueError("TEXT_LOWER2UPPER and TEXT_UPPER2LOWER contradict each other: give one")
        return value


def _of_mask(mask: int) -> list[Option]:
    unknown = mask & ~sum(BITS) if mask >= 0 else mask
    if unknown:
        known = ", ".join(f"{name} {bit}" for bit, name in BITS.items())
        raise ValueError(f"the mask {mask} holds {unknown}, which is no option; known: {known}")
    return [name for bit, name in BITS.items() if mask & bit]


def read_stop_chars(config: NormalizerConfig, folder: Path | None, key: str = "stop_char_file") -> str:
    """The characters of the stop_char_file, "" where there is none.

    Args:
        config: Names the file.
        folder: Where a relative file is looked up first.
        key: The key that names the file, for errors.

    Raises:
        BadFileError: It cannot be read.
    """
    name = config.stop_char_file
    if name is None:
        return ""
    try:
        return stop_chars(named_file(name, folder).read_bytes())
    except OSError as error:
        raise BadFileError(key, f"cannot read '{name}': {error.strerror}") from None
    except ValueError as error:
        raise BadFileError(key, f"'{name}' {error}") from None


def stop_chars(content: bytes) -> str:
    """The characters that a stop_char_file lists, ascending.

    Raises:
        ValueError: It is not UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 at byte {error.start}") from None
    return "".join(sorted(set("".join(text.split()))))


class Normalizer:
    """Normalises arrays of texts.

    In this order: stop characters; full width to half width; traditional to simplified; case; stop characters again,
    as a text has no stop character whatever it was written like; special characters; white space; length; split
    characters.

    Args:
        config: What to do.
        stops: Characters to remove.

    Raises:
        MissingExtra: It needs OpenCC, which is not installed.
    """

    def __init__(self, config: NormalizerConfig, stops: str = "") -> None:
        self.options, self.max_length = frozenset(config.norm_options), config.max_length
        self.stops = from_text(stops)
        self.cases = None
        if self.options & {"TEXT_LOWER2UPPER", "TEXT_UPPER2LOWER"}:
            self.cases = cases(upper="TEXT_LOWER2UPPER" in self.options)
        self.classes = classes()
        if "TEXT_CHT2CHS" in self.options:
            converter()

    def __call__(self, texts: pa.LargeStringArray) -> pa.LargeStringArray:
        """The texts, normalised; without nulls. A text may become empty."""
        options = self.options
        offsets, codes = self._stopped(*split(texts))
        if "TEXT_SBC2DBC" in options:
            codes = half_width(codes)
        if "TEXT_CHT2CHS" in options:
            offsets, codes = simplify(offsets, codes)
        if self.cases is not None:
            codes = np.where(codes < CASED, self.cases[np.minimum(codes, CASED - 1)], codes)
        offsets, codes = self._stopped(offsets, codes)
        if "TEXT_FILTER" in options:
            offsets, codes = keep(offsets, codes, (self.classes[codes] & WORD) != 0)
        if "TEXT_REMOVE_SPACE" in options:
            offsets, codes = keep(offsets, codes, (self.classes[codes] & SPACE) == 0)
        if self.max_length is not None:
            offsets, codes = first(offsets, codes, self.max_length)
        if "TEXT_SPLITCHRS" in options:
            offsets, codes = self._spaced(offsets, codes)
        return join(offsets, codes)

    def _stopped(self, offsets: Offsets, codes: Codes) -> tuple[Offsets, Codes]:
        return keep(offsets, codes, ~np.isin(codes, self.stops)) if len(self.stops) else (offsets, codes)

    def _spaced(self, offsets: Offsets, codes: Codes) -> tuple[Offsets, Codes]:
        """Chinese characters and the words between them, one blank between two of them and none at the ends."""
        written = (self.classes[codes] & SPACE) == 0
        at = np.flatnonzero(written)
        offsets, codes = keep(offsets, codes, written)
        han = (self.classes[codes] & HAN) != 0
        blank = np.zeros(len(codes), np.bool_)  # before a character
        blank[1:] = han[1:] | han[:-1] | (np.diff(at) > 1)
        blank[offsets[:-1][np.diff(offsets) > 0]] = False
        after = total(blank)
        made = np.full(len(codes) + int(after[-1]), ord(" "), np.uint32)
        made[np.arange(len(codes)) + after[1:]] = codes
        return offsets + after[offsets], made


def half_width(codes: Codes) -> Codes:
    """U+FF01 .. U+FF5E as `!` .. `~`, the ideographic space U+3000 as a blank."""
    full = (codes >= 0xFF01) & (codes <= 0xFF5E)
    return np.where(full, codes - 0xFEE0, np.where(codes == 0x3000, ord(" "), codes)).astype(np.uint32, copy=False)
