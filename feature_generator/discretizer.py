"""Values into ids: hash, plain number, vocabulary. The keys, their checks, and the tables that follow from them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from typing_extensions import override

from feature_generator import dynamic, native
from feature_generator.dynamic import DynamicConfig
from feature_generator.features import FeatureConfig, named_file
from feature_generator.fitting.config import FitConfig

OOV = "<OOV>"
KEYS = ("hash_bucket_size", "dynamic", "num_buckets", "vocab_list", "vocab_dict", "vocab_file")
VOCABULARIES = KEYS[3:]
UNBOUNDED = 2**63 - 1
HASHES = {"murmur64a": native.murmur64a, "farmhash": native.fingerprint64}


@dataclass(frozen=True)
class Discretizer:
    """How the text or whole number of a value becomes an id.

    Attributes:
        kind: `hash`, `range` (the number itself), `vocabulary`, or `text` (a stub that keeps its words).
        size: Ids lie in 0 .. size - 1.
        hash: `murmur64a` or `farmhash`.
        out_of_range: What becomes of a number outside.
        words: Word -> id.
        unknown: Id of a word that is not in `words`.
    """

    kind: Literal["hash", "range", "vocabulary", "text"]
    size: int = 0
    hash: str = "murmur64a"
    out_of_range: Literal["default", "clip", "error"] = "default"
    words: dict[str, int] = field(default_factory=dict)
    unknown: int = 0

    def id_of(self, text: str) -> int:
        """The id of one value.

        Raises:
            ValueError: It must be a whole number inside the range and is not.
        """
        if self.kind == "hash":
            return int(HASHES[self.hash](text.encode())) % self.size
        if self.kind == "vocabulary":
            return self.words.get(text, self.unknown)
        try:
            number = int(text.strip()) if re.fullmatch(r"\s*[+-]?[0-9]+\s*", text) else None
        except ValueError:
            number = None
        if number is None:
            raise ValueError(f"'{text}' is not a whole number")
        if not 0 <= number < self.size:
            raise ValueError(f"{number} lies outside 0 .. {self.size - 1}")
        return number

    def rule(self) -> dict[str, Any]:
        """The rule as the native plan takes it."""
        rule: dict[str, Any] = {"discretizer": self.kind, "size": self.size, "hash": self.hash}
        if self.kind == "range":
            rule["out_of_range"] = self.out_of_range
        if self.kind == "vocabulary":
            rule |= {"words": list(self.words), "word_ids": list(self.words.values()), "unknown": self.unknown}
        return rule


class SparseConfig(FeatureConfig):
    """A feature type whose values become ids."""

    def first_only(self, sequence: bool) -> bool:
        """Whether an element keeps its first value alone: asked for, or the rule in sequences."""
        return self.value_dim == 1 or (self.value_dim is None and sequence)

    def discretizer(self, hash_name: str, default: str, folder: Path | None) -> Discretizer:
        """The rule that the keys state.

        Args:
            hash_name: The generator's hash.
            default: The default value as text.
            folder: Where relative files are looked up first.

        Raises:
            OSError: A file cannot be read.
            ValueError: Its content breaks the rules.
        """
        raise TypeError(f"type '{self.type}' makes no ids")


class IdConfig(SparseConfig):
    """Keys that say how values become ids, for the types where the config decides."""

    hash_bucket_size: int | None = Field(None, ge=1, lt=2**63)
    """Ids are hashes modulo this."""
    dynamic: DynamicConfig | None = None
    """Ids get rows of their own as they come, and lose them when others need them more."""
    num_buckets: int | None = Field(None, ge=1, lt=2**63)
    """Values are whole numbers in 0 .. num_buckets - 1 and stay what they are."""
    vocab_list: list[str] | None = Field(None, min_length=1)
    """Words; their ids count from 2 (0 the default, 1 unknown words), from 0 with default_bucketize_value."""
    vocab_dict: dict[str, int] | None = Field(None, min_length=1)
    """Word -> id."""
    vocab_file: str | None = None
    """File with a word, or a word and its id, on every line. Needs default_bucketize_value."""
    default_bucketize_value: int | None = Field(None, ge=0, lt=2**31)
    """Id of words outside the vocabulary."""
    out_of_range: Literal["default", "clip", "error"] = "default"
    """A number outside num_buckets becomes the default (or nothing), the nearest inside, or a bad value."""
    fit: FitConfig | None = None
    """What `easyrec fg fit` learns from data: `vocabulary`."""

    @field_validator("vocab_list", mode="before", json_schema_input_type=list[str | float] | None)
    @classmethod
    def _words(cls, value: Any) -> Any:
        return [_word(v) for v in value] if isinstance(value, list) else value

    @field_validator("vocab_list")
    @classmethod
    def _no_word_twice(cls, value: list[str] | None) -> list[str] | None:
        seen: set[str] = set()
        for word in value or []:
            if word in seen:
                raise ValueError(f"the word '{word}' is listed twice")
            seen.add(word)
        return value

    @field_validator("vocab_dict", mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        return {_word(k): v for k, v in value.items()} if isinstance(value, dict) else value

    @field_validator("vocab_dict")
    @classmethod
    def _no_negative_id(cls, value: dict[str, int] | None) -> dict[str, int] | None:
        for word, number in (value or {}).items():
            if not 0 <= number < 2**31:
                raise ValueError(f"the id of '{word}' must lie in 0 .. 2147483647, but is {number}")
        return value

    @override
    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        given = [key for key in KEYS if getattr(self, key) is not None]
        problems = super().problems(encoded)
        if len(given) > 1:
            problems.append(
                (given[1], f"give exactly one of {', '.join(KEYS)}; this feature has {' and '.join(given)}")
            )
        elif not given and not encoded and not self.stub_type and self.discretized:
            problems.append(("", f"needs one of {', '.join(KEYS)}"))
        if self.default_bucketize_value is not None:
            if not self.vocabulary_key:
                problems.append(
                    ("default_bucketize_value", "goes with a vocabulary: vocab_list, vocab_dict or vocab_file")
                )
            elif self.vocab_list is not None and self.default_bucketize_value >= len(self.vocab_list):
                text = f"must be below the {len(self.vocab_list)} words of vocab_list, but is {self.default_bucketize_value}"
                problems.append(("default_bucketize_value", text))
        elif self.vocab_file is not None and not encoded:
            problems.append(("vocab_file", "needs default_bucketize_value, the id of words outside the file"))
        if self.value_dim is not None and self.value_dim > 1 and self.discretized:
            problems.append(("value_dim", f"0 keeps all ids, 1 the first; {self.value_dim} says neither"))
        if self.out_of_range != "default" and self.num_buckets is None:
            problems.append(("out_of_range", "goes with num_buckets"))
        return problems

    @property
    def discretized(self) -> bool:
        """Whether values become ids: types whose values may stay numbers say no where no key turns them into ids."""
        return True

    @property
    def discretizer_key(self) -> str:
        """Which key turns values into ids, "" for none."""
        return next((key for key in KEYS if getattr(self, key) is not None), "")

    @property
    @override
    def files(self) -> dict[str, str]:
        return {"vocab_file": self.vocab_file} if self.vocab_file is not None else {}

    @property
    def vocabulary_key(self) -> str:
        """Which key gives the vocabulary, "" for none."""
        return next((key for key in VOCABULARIES if getattr(self, key) is not None), "")

    @override
    def discretizer(self, hash_name: str, default: str, folder: Path | None) -> Discretizer:
        if self.hash_bucket_size is not None:
            return Discretizer("hash", self.hash_bucket_size, hash_name)
        if self.dynamic is not None:
            return Discretizer("hash", dynamic.KEYS, hash_name)
        if self.num_buckets is not None:
            return Discretizer("range", self.num_buckets, out_of_range=self.out_of_range)
        if not self.vocabulary_key:
            return Discretizer("text")
        words, unknown = self.vocabulary(default, folder)
        return Discretizer("vocabulary", max(*words.values(), unknown) + 1, words=words, unknown=unknown)

    def vocabulary(self, default: str, folder: Path | None) -> tuple[dict[str, int], int]:
        """Word -> id, and the id of all other words."""
        unknown = self.default_bucketize_value
        if self.vocab_file is not None:
            assert unknown is not None
            return read_vocabulary(named_file(self.vocab_file, folder)), unknown
        if self.vocab_list is not None:
            if unknown is not None:
                return {word: i for i, word in enumerate(self.vocab_list)}, unknown
            # The list becomes [default, <OOV>, *words]; a default that is itself a word keeps its word's id.
            words = {default: 0, OOV: 1} if default else {OOV: 1}
            return words | {word: i + 2 for i, word in enumerate(self.vocab_list)}, 1
        assert self.vocab_dict is not None
        if unknown is not None:
            return dict(self.vocab_dict), unknown
        # Here the default's id is 0, also where it is a word of the dictionary: the opposite of vocab_list.
        return dict(self.vocab_dict) | ({default: 0} if default else {}), 1


def read_vocabulary(path: Path) -> dict[str, int]:
    """Word -> id of a vocabulary file.

    Where every line ends in a whole number behind a blank, that is the word's id; else a line is a word and its id
    is its number from 0. Blanks around a word are no part of it, unless a tab stands before the id.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is empty, is not UTF-8, or has an id outside 0 .. 2^31 - 1.
    """
    text = path.read_bytes().decode("utf-8-sig")
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line]
    if not lines:
        raise ValueError(f"the vocabulary file {path} is empty")
    pairs = [re.fullmatch(r"(.*)([ \t])(\d+)", line) for line in lines]
    if all(pairs):
        words = {m[1] if m[2] == "\t" else m[1].strip(): int(m[3]) for m in pairs if m}
    else:
        words = {}
        for line in lines:
            words.setdefault(line, len(words))
    if max(words.values()) >= 2**31:
        raise ValueError(f"the vocabulary file {path} has an id beyond 2147483647")
    return words


def _word(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
