"""The keys of a config as YAML lines: each with its default, its docstring above it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

WIDTH = 116


def keys_of(
    config: type[BaseModel], given: Mapping[str, Any], indent: int, written: Mapping[str, Any]
) -> Iterator[str]:
    """Every key of a config; one that does not go with the others stands as a comment.

    Args:
        config: The config's class.
        given: Values in the place of defaults.
        indent: Spaces before each line.
        written: Keys that are written already.
    """
    present = {**written, **given}
    properties = config.model_json_schema().get("properties", {})
    for name, field in config.model_fields.items():
        if name in written:
            continue
        text = " ".join((field.description or "").split())
        allowed = properties.get(name, {}).get("enum")
        if allowed and name != "type":
            text = f"{text} One of {', '.join(map(str, allowed))}.".strip()
        yield from comment(text, indent)
        value = given[name] if name in given else _plain(field.get_default(call_default_factory=True))
        if value is None:
            yield f"{' ' * indent}# {name}:"
        elif not _fits(config, {**present, name: value}):
            yield f"{' ' * indent}# {name}: {flow(value)}"
        else:
            present[name] = value
            yield from listed(name, value, indent)


def _fits(config: type[BaseModel], values: Mapping[str, Any]) -> bool:
    try:
        config.model_validate(values)
    except ValidationError:
        return False
    return True


def comment(text: str, indent: int) -> Iterator[str]:
    """A text as comment lines."""
    for line in textwrap.wrap(text, WIDTH - indent - 2):
        yield f"{' ' * indent}# {line}"


def listed(name: str, value: Any, indent: int) -> Iterator[str]:
    """A key and its value; a list of mappings has one line for each."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        yield f"{' ' * indent}{name}:"
        yield from (f"{' ' * (indent + 2)}- {flow(item)}" for item in value)
    else:
        yield f"{' ' * indent}{name}: {flow(value)}"


def feature_lines(feature: Mapping[str, Any]) -> list[str]:
    """A feature; a sequence has a line for each child."""
    if feature["type"] != "sequence":
        return [f"  - {flow(feature)}"]
    first, *others = [(key, value) for key, value in feature.items() if key != "features"]
    lines = [f"  - {first[0]}: {flow(first[1])}", *(f"    {key}: {flow(value)}" for key, value in others)]
    return [*lines, *listed("features", feature["features"], 4)]


def flow(value: Any) -> str:
    """A value on one line of YAML."""
    return (
        yaml.safe_dump(_plain(value), default_flow_style=True, sort_keys=False, allow_unicode=True, width=1_000_000)
        .removesuffix("...\n")
        .strip()
    )


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
