"""JSON schema of configs: every family is a definition, the `oneOf` of its members."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from feature_generator.config import FAMILY, member, members

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a config, draft 2020-12, with all members of all families that it may hold.

    A family may stand inside its own members (a sequence holds features), so each is one definition that others refer
    to: `#/$defs/<family>`, its members `#/$defs/<family>.<type>`.
    """
    definitions: dict[str, Any] = {}
    schema = _hoist(model.model_json_schema(mode="validation"), model.__name__, definitions)
    return {"$schema": DIALECT, **schema, "$defs": dict(sorted(definitions.items()))}


def _hoist(schema: dict[str, Any], name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema without `$defs`: they go to `definitions` under names that start with `name`."""
    inner = schema.pop("$defs", {})
    for key, value in inner.items():
        definitions[f"{name}.{key}"] = _rewrite(value, name, definitions)
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
    result = {k: _rewrite(v, name, definitions) for k, v in value.items() if k != "discriminator"}
    if isinstance(result.get("$ref"), str):
        result["$ref"] = result["$ref"].replace("#/$defs/", f"#/$defs/{name}.")
    return result


def _family(package: str, default: str | None, definitions: dict[str, Any]) -> str:
    """The definition's name of a family, which is made where it is not there yet."""
    key = f"{package}-or-{default}" if default else package
    if key in definitions:
        return key
    definitions[key] = {}  # members may hold the family itself
    options: list[dict[str, Any]] = []
    for name in members(package):
        option = f"{package}.{name}"
        if option not in definitions:
            definitions[option] = {}
            definitions[option] = _member(package, name, definitions)
        options.append({"$ref": f"#/$defs/{option}"})
        if name != default:
            options[-1]["required"] = ["type"]
    bare = {"enum": list(members(package)), "description": "Stands for {type: ...} with defaults."}
    definitions[key] = {"oneOf": [*options, bare]}
    return key


def _member(package: str, name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    config: type[BaseModel] = member(package, name).Config
    schema = _hoist(config.model_json_schema(mode="validation"), f"{package}.{name}", definitions)
    schema["properties"] = {**schema.get("properties", {}), "type": {"const": name}}
    schema.pop("title", None)
    return schema
