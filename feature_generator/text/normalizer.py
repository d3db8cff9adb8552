"""Normalisation of texts: its keys, and how it runs over an array."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from feature_generator.config import StrictModel
from feature_generator.features import BadFileError, named_file
from feature_generator.text.characters import HAN_CLASS, SPACE_CLASS, WORD_CLASS, is_space
from feature_generator.text.regex import replace
from feature_generator.text.simplified import converter, simplify
from feature_generator.text.width import half_width

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
    return "".join(sorted({char for char in text if not is_space(char)}))


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
        self.stops = "[" + "".join(rf"\x{{{ord(c):x}}}" for c in stops) + "]+" if stops else ""
        if "TEXT_CHT2CHS" in self.options:
            converter()

    def __call__(self, texts: pa.LargeStringArray) -> pa.LargeStringArray:
        """The texts, normalised; nulls stay null, and a text may become empty."""
        if texts.null_count == 0:
            return self._run(texts)
        made = self._run(pc.fill_null(texts, ""))
        return pc.if_else(pc.is_valid(texts), made, pa.scalar(None, pa.large_string()))

    def _run(self, texts: pa.LargeStringArray) -> pa.LargeStringArray:
        options = self.options
        if self.stops:
            texts = replace(texts, self.stops, "")
        if "TEXT_SBC2DBC" in options:
            texts = half_width(texts)
        if "TEXT_CHT2CHS" in options:
            texts = simplify(texts)
        if "TEXT_LOWER2UPPER" in options:
            texts = pc.utf8_upper(texts)
        if "TEXT_UPPER2LOWER" in options:
            texts = pc.utf8_lower(texts)
        if self.stops:
            texts = replace(texts, self.stops, "")
        if "TEXT_FILTER" in options:
            texts = replace(texts, f"[^{WORD_CLASS}]+", "")
        if "TEXT_REMOVE_SPACE" in options:
            texts = replace(texts, f"[{SPACE_CLASS}]+", "")
        if self.max_length is not None:
            texts = pc.utf8_slice_codeunits(texts, 0, self.max_length)
        if "TEXT_SPLITCHRS" in options:
            texts = replace(texts, f"[{HAN_CLASS}]", r" \0 ")
            texts = pc.utf8_trim(replace(texts, f"[{SPACE_CLASS}]+", " "), " ")
        return texts
