"""`sequence`: features that share the elements of one sequence, such as the items of a click history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from feature_generator import foreign
from feature_generator.config import UNBROKEN, Choice, StrictModel
from feature_generator.features import Byte


class Config(StrictModel):
    """Config of `sequence`.

    The outputs are `<name>__<child>`; the inputs of a child that are sequences are columns `<name>__<column>`, or
    fields of the objects in a column `<name>`.
    """

    foreign: ClassVar[Mapping[str, str]] = foreign.KEYS

    type: Literal["sequence"] = "sequence"
    name: str = Field(pattern=UNBROKEN)
    """Name of the sequence."""
    features: list[Annotated[Any, Choice("feature_generator.features")]] = Field(min_length=1)
    """The children; all have the same number of elements in a row."""
    side: Literal["user", "item", "context"] = "user"
    """Whose sequence it is, whatever side the children's columns name."""
    sequence_length: int | None = Field(None, ge=1, lt=2**31)
    """Most elements that a row keeps; by default all."""
    sequence_delim: Byte = ";"
    """Between the elements in text."""
    order: Literal["oldest_first", "newest_first"] = "oldest_first"
    """How the input is sorted; outputs are always oldest first."""
    truncate: Literal["newest", "oldest"] = "newest"
    """Which elements survive the cut to `sequence_length`."""
    empty: Literal["none", "default"] = "none"
    """An empty sequence has no element, or one that holds each child's default."""
    lengths: Literal["equal", "shortest"] = "equal"
    """Children of unequal lengths in one row are an error, or are cut to the shortest."""
