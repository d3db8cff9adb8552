"""Spaces in the JSON schema of an experiment: wherever a value may stand, a space of such values may."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from easyrec.config.space import FIXED

CHOICE, REAL, WHOLE = "space.choice", "space.real", "space.whole"
"""Definitions: options of any kind, a range of numbers, a range of whole numbers."""
_SAYS = ("type", "$ref", "anyOf", "oneOf", "allOf", "const", "enum")
"""What a schema has that says which values may stand there; without one it only bounds them."""
_PARTS = ("anyOf", "oneOf", "allOf")
_VALUES = ("items", "additionalProperties")


def with_spaces(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with spaces in all sections that are searched."""
    return _Spaces(schema["$defs"]).laid_over(schema)


class _Spaces:
    """Lays spaces over a schema; what takes the same spaces is one definition."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.definitions = definitions
        self.made: dict[str, Any] = {}
        self._names: dict[str, str] = {}

    def laid_over(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema with spaces."""
        roots = {name: value for name, value in schema["properties"].items() if name not in FIXED}
        searched = _reached(roots, self.definitions)
        definitions = {n: self.walked(value) if n in searched else value for n, value in self.definitions.items()}
        properties = schema["properties"] | {name: self.spaced(self.walked(value)) for name, value in roots.items()}
        whole = {**definitions, **self.made, **_spaces()}
        return {**schema, "properties": properties, "$defs": dict(sorted(whole.items()))}

    def walked(self, value: Any) -> Any:
        """A schema whose parts take spaces; it itself does not."""
        if not isinstance(value, dict):
            return value
        result = dict(value)
        for key in _PARTS:
            if key in value:
                result[key] = [self.walked(one) for one in value[key]]
                if _tells_by_type(value[key], self.definitions):
                    result[key].append(_of_any_type())
        for name, one in value.get("properties", {}).items():
            told = one if name == "type" and "const" in one else self.spaced(self.walked(one))
            result["properties"] = {**result["properties"], name: told}
        for key in _VALUES:
            if isinstance(value.get(key), dict):
                result[key] = self.spaced(self.walked(value[key]))
        if "prefixItems" in value:
            result["prefixItems"] = [self.spaced(self.walked(one)) for one in value["prefixItems"]]
        return result

    def spaced(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema, or a space of what it allows; a range only of numbers."""
        if not any(key in schema for key in _SAYS):
            return schema
        about: dict[str, Any] = {key: schema[key] for key in ("description", "default") if key in schema}
        plain = {key: value for key, value in schema.items() if key not in about}
        text = json.dumps(plain, sort_keys=True)
        if text not in self._names:
            self._names[text] = name = f"space.of.{len(self._names)}"
            choice = _choice({"$ref": f"#/$defs/{name}"})
            ranges = [{"$ref": f"#/$defs/{kind}"} for kind in _ranges(plain)]
            self.made[name] = {"anyOf": [plain, choice, *ranges]}
        return {**about, "$ref": f"#/$defs/{self._names[text]}"}


def _ranges(schema: Mapping[str, Any]) -> list[str]:
    types = set(_types(schema))
    return [REAL] * ("number" in types) + [WHOLE] * bool(types & {"number", "integer"})


def _types(schema: Mapping[str, Any]) -> Iterator[str]:
    """The types that a schema allows itself, definitions left aside."""
    if isinstance(schema.get("type"), str):
        yield schema["type"]
    for key in ("anyOf", "oneOf"):
        for one in schema.get(key, ()):
            yield from _types(one)


def _tells_by_type(options: list[Any], definitions: Mapping[str, Any]) -> bool:
    """Whether the options of a union are mappings that differ by their `type`."""
    kinds = [
        definitions.get(str(one.get("$ref")).removeprefix("#/$defs/"), {}) for one in options if isinstance(one, dict)
    ]
    return sum("const" in kind.get("properties", {}).get("type", {}) for kind in kinds) > 1


def _of_any_type() -> dict[str, Any]:
    """A mapping whose `type` is drawn: its other keys are those of one of the options."""
    return {"type": "object", "required": ["type"], "properties": {"type": {"$ref": f"#/$defs/{CHOICE}"}}}


def _choice(items: dict[str, Any]) -> dict[str, Any]:
    array = {"type": "array", "minItems": 1, "items": items}
    return {
        "type": "object",
        "properties": {"choice": array},
        "required": ["choice"],
        "additionalProperties": False,
        "description": "A space for `easyrec tune`: one of the options.",
    }


def _spaces() -> dict[str, Any]:
    real, whole = (
        {"type": "array", "items": {"type": kind}, "minItems": 2, "maxItems": 2} for kind in ("number", "integer")
    )
    step = {"exclusiveMinimum": 0}
    return {
        CHOICE: _choice({}),
        REAL: {
            "description": "A space for `easyrec tune`: a number between two, or one whose logarithm is uniform.",
            "oneOf": [
                _range("uniform", real, step={"type": "number", **step}),
                _range("log", real),
            ],
        },
        WHOLE: {
            "description": "A space for `easyrec tune`: a whole number, both ends included.",
            **_range("int", whole, step={"type": "integer", **step}, log={"type": "boolean"}),
        },
    }


def _range(kind: str, bounds: dict[str, Any], **more: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {kind: bounds, **more}, "required": [kind], "additionalProperties": False}


def _reached(value: Any, definitions: Mapping[str, Any]) -> set[str]:
    """Names of the definitions that a part of the schema leads to."""
    found: set[str] = set()
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            name = str(one.get("$ref", "")).removeprefix("#/$defs/")
            if name in definitions and name not in found:
                found.add(name)
                left.append(definitions[name])
            left += one.values()
    return found
