"""Compiled operators: shared libraries with the C interface of `cpp/easyrec_operator.h`.

A library is code of the process from the moment that it is loaded, so nothing but the caller loads one: no config, no
saved generator and no bundle does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict
from typing_extensions import override

from feature_generator import native
from feature_generator.config import StrictModel, members
from feature_generator.errors import ConfigError
from feature_generator.operators import BadParameterError, CustomOperator, class_name

_loaded: dict[str, type[CompiledOperator]] = {}
paths: list[str] = []
"""Libraries that this process has loaded, in their order."""


class Anything(StrictModel):
    """Parameters that the library itself checks."""

    model_config = ConfigDict(extra="allow")


class CompiledOperator(CustomOperator):
    """An operator of a loaded library."""

    parameters = Anything
    multi_value = True
    name: ClassVar[str]
    """Its name in configs."""

    @override
    def prepare(self) -> None:
        try:
            native.check_operator(self.name, self._json(), len(self.names))
        except ValueError as error:
            raise BadParameterError("", str(error)) from None

    @override
    def native(self) -> tuple[str, dict[str, Any]]:
        return "foreign", {"operator": self.name, "params": self._json(), "inputs": len(self.names)}

    @override
    def __call__(self, *columns: Any) -> Any:
        raise TypeError(f"{self.name} is compiled: the plan runs it")

    def _json(self) -> str:
        return json.dumps(self.params.model_dump(mode="json"), ensure_ascii=False, sort_keys=True)


def load_operators(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Load a shared library of operators, for this process and until it ends.

    The library's code runs with all rights of the process; a crash in it ends the process.

    Args:
        path: The library, such as `operators.so`.

    Returns:
        The names of its operators, for `operator_name`. A library that is loaded already gives the same names again.

    Raises:
        ConfigError: It is no such library, speaks another version of the interface, or has an operator whose name is
            taken.
    """
    place = str(Path(path).resolve())
    files = members("feature_generator.operators")
    try:
        found = native.load_operators(place, {*files, *map(class_name, files)})
    except ValueError as error:
        raise ConfigError(str(error), str(path)) from None
    if place not in paths:
        paths.append(place)
    for name, fewest, most in found:
        attributes = {"__doc__": f"`{name}` of {path}.", "name": name, "inputs": (fewest, most)}
        _loaded.setdefault(name, type(name, (CompiledOperator,), attributes))
    return tuple(name for name, _, _ in found)


def loaded() -> Mapping[str, type[CompiledOperator]]:
    """The operators of all loaded libraries by their names."""
    return _loaded
