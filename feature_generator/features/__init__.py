"""Feature types, one a file: `type: id` is the class `Config` in `id.py`.

A member states its keys, what it reads (`sources`, and `readings` where that is more than plain values), and what it
means twice: `compile` as an operator of the native plan, `reference` in plain Python. The rules that all types share -
sequences, missing values, defaults, discretizers, normalizers, buckets - are written once, around the members.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, Field, field_validator

from feature_generator import foreign
from feature_generator.config import UNBROKEN, StrictModel

Side: TypeAlias = Literal["user", "item", "context", "feature", "const"]
SIDES: tuple[Side, ...] = ("user", "item", "context", "feature", "const")
MULTIVAL = "\x1d"
"""Separator of the values of a multi-value, chr(29)."""


@dataclass(frozen=True)
class Source:
    """What one input of a feature reads.

    Attributes:
        side: Whose column it is; `feature`: another feature's output; `const`: the name itself is the value.
        name: Column, feature or constant.
    """

    side: Side
    name: str

    @staticmethod
    def of(expression: str) -> Source:
        """The source that `side:name` names.

        Raises:
            ValueError: There is no such side, or no name.
        """
        side, sign, name = expression.partition(":")
        if not sign:
            raise ValueError(f"'{expression}' must be side:name, e.g. user:{expression}; sides: {', '.join(SIDES)}")
        if side not in SIDES:
            raise ValueError(f"'{side}' is no side; known: {', '.join(SIDES)}")
        if not name and side != "const":
            raise ValueError(f"'{expression}' names no column behind the ':'")
        return Source(side, name)


def _sided(text: str) -> str:
    Source.of(text)
    return text


Sided: TypeAlias = Annotated[str, AfterValidator(_sided)]
"""A config's `side:name`."""


def _one_byte(text: str) -> str:
    if len(text.encode()) != 1:
        raise ValueError(f"must be one ASCII character, but is {text!r}")
    return text


Byte: TypeAlias = Annotated[str, Field(min_length=1, max_length=1), AfterValidator(_one_byte)]
"""A config's separator."""


@dataclass(frozen=True)
class Reading:
    """How the cells of one input become the values of an element.

    Attributes:
        separator: Splits text; None leaves text whole. "" stands for the feature's own separator.
        weighted: Values are `key:weight`, or a map of keys to weights.
        pairs: Values are `key<assign>rest`, or a map: the keys are the values, and this says how the rest is read.
        assign: Between a key and its rest.
        assign_last: The last `assign` of a text counts rather than the first.
        folded: Pairs in text reach the operator as that text: one that needs a few of many finds them faster so.
        either: A text that holds a chr(29) is split there, whatever the separator.
    """

    separator: str | None = ""
    weighted: bool = False
    pairs: Reading | None = None
    assign: str = ":"
    assign_last: bool = False
    folded: bool = False
    either: bool = False


@dataclass
class Operator:
    """A feature as the native plan runs it.

    Attributes:
        name: Operation of the plan: `copy` for the values as they are, `call` for a Python function, or one of
            `cpp/operations/`.
        parameters: What the operation needs to know: flags, numbers, texts, and lists of the latter two. `call` knows
            two: `texts`, whether numbers reach the function as their text, and `numbers`, whether text does as doubles.
        call: The function of `call`: one Arrow array per input, each with a list of values per element, and the number
            of elements; returns an Arrow array with one entry per element, null where there is no value.
        numbers: What a numeric feature does with its numbers; None where its values become ids.
        defaults: Values of the default where they are not simply its text; None: its text, split by the separator if
            the operator is `copy`.
    """

    name: str = "copy"
    parameters: dict[str, Any] = field(default_factory=dict)
    call: Callable[[list[Any], int], Any] | None = None
    numbers: Numbers | None = None
    defaults: list[str] | None = None


@dataclass(frozen=True)
class Numbers:
    """Numeric vectors: normalised, then kept or put into buckets.

    Attributes:
        value_dim: Numbers per vector; 0, with boundaries only: any number.
        normalizer: Rule of the native plan.
        boundaries: Ascending edges; None keeps the numbers.
    """

    value_dim: int = 1
    normalizer: dict[str, Any] = field(default_factory=lambda: {"method": "none"})
    boundaries: tuple[float, ...] | None = None


class FeatureConfig(StrictModel):
    """Keys that every feature type has."""

    family: ClassVar[str | None] = "feature_generator.features"
    foreign: ClassVar[Mapping[str, str]] = foreign.KEYS

    single_input: ClassVar[bool] = True
    """Whether the type has one input; it decides which inputs of a sequence are sequences."""

    type: str
    name: str = Field(pattern=UNBROKEN)
    """Output name. Inside a grouped sequence the output is called `<sequence>__<name>`."""
    embedding_dim: int | None = Field(None, ge=1)
    """Width of the embedding; by default the model's."""
    embedding_name: str | None = None
    """Name of the embedding table; equal names share a table. By default the output's own name."""
    pooling: Literal["sum", "mean"] = "sum"
    """How the embeddings of several ids become one."""
    default_value: str = ""
    """Value of a missing input, as raw text. Empty: none (in a sequence "0")."""
    separator: Byte = MULTIVAL
    """Between the values of a multi-value text."""
    value_dim: int | None = Field(None, ge=0, le=2**20)
    """Values per element: 0 any number, 1 the first, for vectors their length."""
    trainable: bool = True
    """Whether the embedding learns."""
    stub_type: bool = False
    """An intermediate feature: others read it as `feature:<name>`, it is not an output."""
    sequence_length: int | None = Field(None, ge=1, lt=2**31)
    """Makes the feature a simple sequence that keeps this many elements."""
    sequence_delim: Byte = ";"
    """Between the elements of a sequence in text."""
    sequence_fields: list[str] | None = None
    """Inputs, by column name, that are sequences; by default the type's rule decides."""
    order: Literal["oldest_first", "newest_first"] = "oldest_first"
    """How the input of a simple sequence is sorted; outputs are always oldest first."""
    truncate: Literal["newest", "oldest"] = "newest"
    """Which elements of a simple sequence survive the cut to `sequence_length`."""
    empty: Literal["none", "default"] = "none"
    """An empty simple sequence has no element, or one that holds the default."""
    lengths: Literal["equal", "shortest"] = "equal"
    """Inputs of unequal lengths in one row are an error, or are cut to the shortest."""
    fg_encoded_default_value: str | None = None
    """In encoded mode, what a missing value becomes; empty or unset: nothing (for vectors zeros)."""
    fg_encoded_multival_sep: Byte = "\x03"
    """In encoded mode, between the values of a multi-value text."""

    @field_validator(
        "default_value", "fg_encoded_default_value", mode="before", json_schema_input_type=str | float | None
    )
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return number_text(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @property
    def sources(self) -> Sequence[Source]:
        """What the feature reads, input by input."""
        raise TypeError(f"type '{self.type}' states no sources")

    @property
    def readings(self) -> Sequence[Reading]:
        """How each of `sources` is read."""
        return [Reading()] * len(self.sources)

    @property
    def named_sequences(self) -> Collection[str]:
        """Columns that are sequences under their own name, in a grouped sequence too, if nothing else says which are."""
        return ()

    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        """What is wrong beyond single keys: (key, message) pairs; `part.key` inside a part.

        Args:
            encoded: Whether the columns hold encoded values, so that nothing is discretized.
        """
        return []

    @property
    def exploded(self) -> bool:
        """Whether the values of a plain feature are handed out as the elements of a sequence."""
        return False

    @property
    def files(self) -> dict[str, str]:
        """Files that the feature reads when it is built, by the key that names them, `part.key` inside a part."""
        return {}

    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        """The feature as an operator.

        Args:
            default: The default value as text; never empty in a sequence.
            sequence: Whether it stands in a sequence.
            folder: Where relative files are looked up first.

        Raises:
            OSError: A file cannot be read.
            ValueError: A file breaks its rules.
        """
        raise TypeError(f"type '{self.type}' compiles to nothing")

    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        """The values of one element from the values of its inputs, before discretizing: the specification.

        Args:
            inputs: Per input its values: text, whole numbers, floats (np.float32 where the column is), and of pairs
                (key, values of the rest). An empty list: missing.

        Returns:
            Text or numbers; nothing: the element is missing and takes the default.

        Raises:
            BadValueError: A value breaks a rule; the element counts as missing and its row as bad.
        """
        raise TypeError(f"type '{self.type}' has no reference")


class BadFileError(ValueError):
    """A file that a feature reads breaks its rules.

    Args:
        key: Which of the feature's keys names it, `part.key` inside a part.
        message: What is wrong, with the file's name.
    """

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


def named_file(name: str, folder: Path | None) -> Path:
    """The file `name` in `folder`, or as it stands."""
    path = Path(name)
    return folder / path if folder is not None and not path.is_absolute() and (folder / path).exists() else path


def number_text(value: float) -> str:
    """The text of a number: whole numbers of 64 bits without a point, others as Python's shortest form."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 2**63 else repr(float(value))
