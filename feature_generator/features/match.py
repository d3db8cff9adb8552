"""`match`: what a map of maps holds for a first and a second key, such as counts by category and brand."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field
from typing_extensions import override

from feature_generator.features import Operator, Reading, Sided, Source
from feature_generator.numeric import FoundConfig
from feature_generator.values import as_number, as_text

ALL = "ALL"


def _key(text: str) -> str:
    if text != ALL:
        Source.of(text)
    return text


Key = Annotated[str, AfterValidator(_key)]


class Config(FoundConfig):
    """Config of `match`."""

    single_input: ClassVar[bool] = False

    type: Literal["match"] = "match"
    nested_map: Sided | None = None
    """The map, as `side:name`: text `pkey^skey:value,skey:value|pkey^...`, or a map of keys to such texts or to maps."""
    pkey: Key | None = None
    """The first key or keys, as `side:name`, or ALL."""
    skey: Key | None = None
    """The second key or keys, as `side:name`, or ALL."""
    show_pkey: bool = False
    """Words begin with `<first key>_`."""
    show_skey: bool = False
    """Words begin with `<second key>_`, behind the first key's."""
    value_dim: int | None = Field(None, ge=0, le=1)
    """0 keeps the bucket of every hit, 1 that of the first; by default 0 with a wildcard, else 1. Words are all kept."""

    @override
    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        problems = super().problems(encoded)
        for key in ("nested_map", "pkey", "skey"):
            if getattr(self, key) is None and not encoded:
                problems.append((key, "needs a column, as side:name" + ("" if key == "nested_map" else ", or ALL")))
        for key in ("show_pkey", "show_skey"):
            if self.numeric and getattr(self, key):
                problems.append((key, "goes with values that become ids"))
        return problems

    @property
    def _all(self) -> bool:
        """Whether every hit counts: always for words, and for buckets unless the first is asked for."""
        if not self.numeric:
            return True
        wanted = self.value_dim == 0 or (self.value_dim is None and ALL in (self.pkey, self.skey))
        return wanted and self.boundaries is not None

    @property
    def _prefix(self) -> str:
        """Words that are hashed begin with the feature's name, as models of the peers know them; others are bare."""
        return f"{self.name}_" if self.hash_bucket_size is not None else ""

    @property
    @override
    def dim(self) -> int:
        return 0 if self._all else 1

    @property
    @override
    def sources(self) -> Sequence[Source]:
        given = [text for text in (self.nested_map, self.pkey, self.skey) if text is not None and text != ALL]
        return [Source.of(text) for text in given] or [Source("item", self.name)]

    @property
    @override
    def readings(self) -> Sequence[Reading]:
        inner = Reading(separator=",", pairs=Reading(separator=None), folded=True)
        outer = Reading(separator="|", assign="^", pairs=inner, folded=True)
        return [outer, *[Reading()] * (len(self.sources) - 1)]

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        parameters = {
            "words": not self.numeric,
            "all": self._all,
            "any_pkey": self.pkey == ALL,
            "any_skey": self.skey == ALL,
            "show_pkey": self.show_pkey,
            "show_skey": self.show_skey,
            "prefix": self._prefix,
        }
        return Operator("match", parameters, numbers=self.numbers() if self.numeric else None)

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        outer = [(as_text(key), rest) for key, rest in inputs[0]]
        outer = [(key, rest) for key, rest in outer if rest]
        keys = [[as_text(key) for key in given] for given in inputs[1:]]
        found = outer if self.pkey == ALL else _picked(outer, keys[0])
        hits = []
        for first, rest in found:
            # A second key that is no finite number has no text, so that nothing finds it, not even a wildcard.
            inner = [(as_text(key), value) for key, value in rest if value and (isinstance(key, str) or isfinite(key))]
            hits += [(first, key, v[0]) for key, v in (inner if self.skey == ALL else _picked(inner, keys[-1]))]
        hits = hits if self._all else hits[:1]
        if self.numeric:
            return [as_number(value) for _, _, value in hits]
        return [
            self._prefix
            + (f"{first}_" if self.show_pkey else "")
            + (f"{second}_" if self.show_skey else "")
            + as_text(value)
            for first, second, value in hits
        ]


def _picked(pairs: list[tuple[str, list[Any]]], keys: list[str]) -> list[tuple[str, list[Any]]]:
    """For every key its first pair, where there is one."""
    known = dict(reversed(pairs))
    return [(name, known[name]) for name in keys if name in known]
