"""From dotted paths, such as `model.groups.deep.features.2`, to the lines of the config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from easyrec.errors import Problem
from feature_generator.config import Document, Path_


def placed(document: Document, problem: Problem) -> Problem:
    """A problem whose `where` is a dotted path, with its line; `features.<output>` names a feature.

    A problem that names no place is one of the `model` section.
    """
    if problem.where.startswith("features."):
        return document.problem(_feature(document, problem.where.removeprefix("features.")), problem.message)
    return document.problem(_path(document, problem.where) or ("model",), problem.message)


def _path(document: Document, where: str) -> Path_:
    """The path as the document has it: names may hold dots, and a list may stand for the key that would hold it."""
    steps = [step.strip() for step in where.split(".")] if where else []
    path: list[str | int] = []
    value: Any = document.data
    while steps:
        taken, key = 1, steps[0]
        if isinstance(value, Mapping):
            ends = (end for end in range(len(steps), 0, -1) if ".".join(steps[:end]) in value)
            taken = next(ends, 1)
            key = ".".join(steps[:taken])
            path.append(key)
            value = value.get(key)
        elif key.isdigit():
            path.append(int(key))
            value = value[int(key)] if isinstance(value, list) and int(key) < len(value) else None
        elif not isinstance(value, list):
            path.append(key)
            value = None
        del steps[:taken]
    return tuple(path)


def _feature(document: Document, output: str) -> Path_:
    """The path of the feature with an output of this name."""
    listed = document.data.get("features") if isinstance(document.data, dict) else None
    for index, one in enumerate(listed if isinstance(listed, list) else []):
        name = one.get("name") if isinstance(one, dict) else None
        if name == output:
            return ("features", index)
        for place, child in enumerate(one.get("features") or [] if isinstance(one, dict) else []):
            if isinstance(child, dict) and f"{name}__{child.get('name')}" == output:
                return ("features", index, "features", place)
    return ("features",)
