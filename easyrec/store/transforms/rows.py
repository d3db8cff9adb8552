"""`rows`: each row of a view with features of its own columns beside it."""

# ruff: noqa: S608 (statements are made of quoted names and of numbers)

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator
from typing_extensions import Self

from easyrec.errors import nearest
from easyrec.store.duck import quoted, require
from easyrec.store.transforms import Input, Rows, Target, TransformConfig
from feature_generator.config import StrictModel


class Length(StrictModel):
    """How long a text or an array is."""

    type: Literal["length"]
    name: str
    of: str
    unit: Literal["characters", "bytes", "words", "items"] = "characters"
    """`words` are parted by white space; `items` are those of an array or a map."""


class Quotient(StrictModel):
    """One column by another one; null where it is divided by 0."""

    type: Literal["ratio"]
    name: str
    of: str
    by: str


Feature: TypeAlias = Annotated[Length | Quotient, Field(discriminator="type")]


class Config(TransformConfig):
    """Config of `rows`."""

    type: Literal["rows"] = "rows"
    input: Input
    """The rows: a view, a label table, or a table of its own."""
    key: str | None = None
    """The rows' column of ids; default: the entity's join id."""
    features: list[Feature] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for name in self.made:
            if self.made.count(name) > 1:
                raise ValueError(f"two features are called '{name}'")
        return self

    @property
    def made(self) -> list[str]:
        """Names of the features."""
        return [feature.name for feature in self.features]

    @property
    def reads(self) -> Mapping[str, Any]:
        """See the family's contract."""
        return {"input": self.input}

    def check(self, fields: Mapping[str, str], event_time: str | None) -> None:
        """See the family's contract."""
        del event_time
        for name in self.made:
            if name not in fields:
                raise ValueError(f"feature '{name}' is no field of the view{nearest(name, list(fields))}")

    def select(self, db: Any, rows: Mapping[str, Rows], target: Target) -> str:
        """See the family's contract; fields that are not made are the rows' own."""
        del db
        given, own = rows["input"], {feature.name: feature for feature in self.features}
        key = self.key or target.join_id
        times = {target.event_time: given.event_time, target.created_time: given.created_time}
        named = {name: column or name for name, column in times.items() if name is not None}
        kept = [name for name in target.fields if name not in own]
        read = [of for f in self.features for of in ([f.of] if isinstance(f, Length) else [f.of, f.by])]
        require(dict(given.types), [key, *named.values(), *kept, *read], "the rows have")
        chosen = [f"{quoted(key)} AS {quoted(target.join_id)}"]
        chosen += [f"{quoted(column)} AS {quoted(name)}" for name, column in named.items()]
        chosen += [quoted(name) for name in kept]
        chosen += [f"{_expression(feature, given.types)} AS {quoted(name)}" for name, feature in own.items()]
        return f"SELECT {', '.join(chosen)} FROM {quoted(given.name)}"


def _expression(feature: Length | Quotient, types: Mapping[str, str]) -> str:
    of = quoted(feature.of)
    if isinstance(feature, Quotient):
        return f"{of}::DOUBLE / nullif({quoted(feature.by)}, 0)"
    if feature.unit == "words":
        return f"len(list_filter(regexp_split_to_array({of}, '\\s+'), lambda word: word <> ''))"
    if feature.unit == "items":
        return f"{'cardinality' if types[feature.of].startswith('MAP') else 'len'}({of})"
    return f"{'strlen' if feature.unit == 'bytes' else 'length'}({of})"
