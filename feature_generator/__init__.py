"""FeatureGenerator: raw columns to model inputs, with the same compiled code offline and online.

What it exports is loaded when it is asked for: whoever wants a config or an error alone waits for neither arrow nor kernels.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feature_generator.columns import BadValue, Column, Ragged, Table
    from feature_generator.errors import ConfigError, DataError
    from feature_generator.generator import FeatureGenerator
    from feature_generator.libraries import load_operators
    from feature_generator.request import ItemTable, Request
    from feature_generator.sinks import OutputSpec

__all__ = [
    "BadValue",
    "Column",
    "ConfigError",
    "DataError",
    "FeatureGenerator",
    "ItemTable",
    "OutputSpec",
    "Ragged",
    "Request",
    "Table",
    "load_operators",
]

_HOMES = {
    "BadValue": "columns",
    "Column": "columns",
    "ConfigError": "errors",
    "DataError": "errors",
    "FeatureGenerator": "generator",
    "ItemTable": "request",
    "OutputSpec": "sinks",
    "Ragged": "columns",
    "Request": "request",
    "Table": "columns",
    "load_operators": "libraries",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
