"""FeatureGenerator: raw columns to model inputs, with the same compiled code offline and online."""

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
