"""JSON schema of configs: every family is a definition, the `oneOf` of its members."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from feature_generator.config import FAMILY, homes_of, member

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PART = ":"
"""Between a config and a class inside it, in the names of definitions while they are made."""


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a config, draft 2020-12, with all members of all families that it may hold.

    A family may stand inside its own members (a sequence holds features), so each is one definition that others refer
    to: `#/$defs/<family>`, its members `#/$defs/<family>.<type>`. What several members hold alike is there once, and is
    called like its class where no other is.
    """
    definitions: dict[str, Any] = {}
    schema = _hoist(model.model_json_schema(mode="validation"), model.__name__, definitions)
    schema, definitions = _shared(schema, definitions)
    return {"$schema": DIALECT, **schema, "$defs": dict(sorted(definitions.items()))}


def _shared(schema: dict[str, Any], definitions: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema and its definitions with the first of equal ones in the place of all."""
    while True:  # equal parts make what holds them equal
        first: dict[tuple[str, str], str] = {}
        same: dict[str, str] = {}
        parts = sorted(name for name in definitions if PART in name)
        for name in parts:
            key = name.rpartition(PART)[2], json.dumps(definitions[name], sort_keys=True)
            if (known := first.setdefault(key, name)) != name:
                same[name] = known
        if not same:
            break
        definitions = {name: _renamed(value, same) for name, value in definitions.items() if name not in same}
        schema = _renamed(schema, same)
    counts = Counter(name.rpartition(PART)[2] for name in definitions)
    short = {n: last if counts[last := n.rpartition(PART)[2]] == 1 else n.replace(PART, ".") for n in parts}
    return _renamed(schema, short), {short.get(n, n): _renamed(value, short) for n, value in definitions.items()}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A part of the schema that refers to definitions by their new names."""
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    result = {key: _renamed(item, names) for key, item in value.items()}
    if isinstance(ref := result.get("$ref"), str):
        name = ref.removeprefix("#/$defs/")
        result["$ref"] = f"#/$defs/{names.get(name, name)}"
    return result


def _hoist(schema: dict[str, Any], name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema without `$defs`: they go to `definitions` under names that start with `name`."""
    inner = schema.pop("$defs", {})
    for key, value in inner.items():
        definitions[f"{name}{PART}{key}"] = _rewrite(value, name, definitions)
    result: dict[str, Any] = _rewrite(schema, name, definitions)
    return result


def _rewrite(value: Any, name: str, definitions: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_rewrite(item, name, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    if FAMILY in value:
        key = _family(value[FAMILY], value["x-default"], definitions)
        rest = {k: v for k, v in value.items() if k not in (FAMILY, "x-default", "default", "title")}
        return {**rest, "$ref": f"#/$defs/{key}"}
    # A title that is text is a key's own name again; a key that is called `title` has a schema.
    kept = {k: v for k, v in value.items() if k != "discriminator" and not (k == "title" and isinstance(v, str))}
    result = {k: _rewrite(v, name, definitions) for k, v in kept.items()}
    if isinstance(result.get("$ref"), str):
        result["$ref"] = result["$ref"].replace("#/$defs/", f"#/$defs/{name}{PART}")
    return result


def _family(packages: Sequence[str], default: str | None, definitions: dict[str, Any]) -> str:
    """The definition's name of families that stand side by side, which is made where it is not there yet."""
    key = "-and-".join(packages) + (f"-or-{default}" if default else "")
    if key in definitions:
        return key
    definitions[key] = {}  # members may hold the family itself
    options: list[dict[str, Any]] = []
    homes = homes_of(packages)
    for name, package in homes.items():
        option = f"{package}.{name}"
        if option not in definitions:
            definitions[option] = {}
            definitions[option] = _member(package, name, definitions)
        options.append({"$ref": f"#/$defs/{option}"})
        if name != default:
            options[-1]["required"] = ["type"]
    bare = {"enum": list(homes), "description": "Stands for {type: ...} with defaults."}
    definitions[key] = {"oneOf": [*options, bare]}
    return key


def _member(package: str, name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    config: type[BaseModel] = member(package, name).Config
    schema = _hoist(config.model_json_schema(mode="validation"), f"{package}.{name}", definitions)
    schema["properties"] = {**schema.get("properties", {}), "type": {"const": name}}
    return schema
