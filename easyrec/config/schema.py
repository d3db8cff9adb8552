"""The JSON schema of an experiment's YAML, for editors and for reading."""

from __future__ import annotations

from typing import Annotated, Any

from easyrec.config.experiment import Sections
from easyrec.config.space_schema import with_spaces
from feature_generator.config import Choice
from feature_generator.schema import json_schema

FEATURES = "feature_generator.features"


class ExperimentFile(Sections):
    """The sections as they are written: features are a list, or the path of a file that holds one."""

    base: str | None = None
    """A YAML to lay this one over: mappings merge, lists are replaced."""
    features: list[Annotated[Any, Choice(FEATURES)]] | str
    """The features, or the path of a file that holds them."""


def experiment_schema() -> dict[str, Any]:
    """The schema of an experiment's YAML, draft 2020-12."""
    schema = json_schema(ExperimentFile)
    definitions = schema["$defs"]
    for name in [n for n in definitions if n.startswith(f"{FEATURES}.") and n.count(".") == 2]:
        definitions[name] = _repeatable(definitions[name])
    # A file that lies over a base may leave out whatever the base has.
    required = schema.pop("required")
    return {
        **with_spaces(schema),
        "title": "easyrec experiment",
        "description": "One YAML that trains, evaluates, exports and serves a model.",
        "if": {"not": {"required": ["base"]}},
        "then": {"required": required},
    }


def _repeatable(feature: dict[str, Any]) -> dict[str, Any]:
    """A feature's schema with `names`, which repeats it, in the place of `name`."""
    one = {"type": "string"}
    names = {"anyOf": [one, {"type": "array", "items": one}], "description": "Repeats the feature: [a_0 .. a_9]."}
    required = [key for key in feature.get("required", []) if key != "name"]
    return {
        **feature,
        "properties": {**feature["properties"], "names": names},
        "required": required,
        "oneOf": [{"required": ["name"]}, {"required": ["names"]}],
    }
