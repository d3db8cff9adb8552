"""Which fields of a config take numbers and no truth values: pydantic would take `true` for 1."""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, PlainValidator, WrapValidator

OWN = (BeforeValidator, PlainValidator, WrapValidator)
"""Of a field that has one of these it is known alone to that what `true` means."""


def flags_in(model: type[BaseModel], value: Any) -> list[tuple[tuple[str | int, ...], bool]]:
    """Truth values that stand where a number must, each with the way to it.

    Args:
        model: Whose fields are looked at.
        value: What is to be such a model.
    """
    if not isinstance(value, Mapping):
        return []
    found: list[tuple[tuple[str | int, ...], bool]] = []
    for name in _fields(model):
        given = value.get(name)
        if isinstance(given, bool):
            found.append(((name,), given))
    for name in _lists(model):
        given = value.get(name)
        if isinstance(given, list | tuple):
            found += [((name, at), one) for at, one in enumerate(given) if isinstance(one, bool)]
    return found


@cache
def _fields(model: type[BaseModel]) -> tuple[str, ...]:
    """Fields that are a number."""
    return tuple(name for name, kind in _kinds(model).items() if _takes(kind, (int, float)))


@cache
def _lists(model: type[BaseModel]) -> tuple[str, ...]:
    """Fields that are a list of numbers."""
    return tuple(name for name, kind in _kinds(model).items() if any(_of_numbers(one) for one in _options(kind)))


def _kinds(model: type[BaseModel]) -> dict[str, Any]:
    """The types of fields by the keys that they are given by, without those whose validators see the value first."""
    decorated = model.__pydantic_decorators__.field_validators.values()
    early = {name for one in decorated if one.info.mode != "after" for name in one.info.fields}
    return {
        field.alias or name: field.annotation
        for name, field in model.model_fields.items()
        if name not in early and "*" not in early and not any(isinstance(one, OWN) for one in field.metadata)
    }


def _options(kind: Any) -> list[Any]:
    """The types of a union, or the one type, without what is noted beside them."""
    if get_origin(kind) is Annotated:
        inner, *noted = get_args(kind)
        return [Any] if any(isinstance(one, OWN) for one in noted) else _options(inner)
    if get_origin(kind) in (Union, types.UnionType):
        return [option for one in get_args(kind) for option in _options(one)]
    return [kind]


def _takes(kind: Any, numbers: tuple[type, ...]) -> bool:
    """Whether a type is a number, and no truth value can be meant."""
    options = _options(kind)
    said = [value for one in options for value in get_args(one) if isinstance(value, bool)]  # Literal[False]
    return any(one in numbers for one in options) and not said and bool not in options and Any not in options


def _of_numbers(kind: Any) -> bool:
    """Whether a type is a list of numbers."""
    if get_origin(kind) not in (list, tuple):
        return False
    inner = [one for one in get_args(kind) if one is not Ellipsis]
    return bool(inner) and all(_takes(one, (int, float)) for one in inner)
