"""The generator of a bundle, read from the bundle alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from easyrec.errors import BundleError, ConfigError
from easyrec.export.bundle import Bundle
from easyrec.export.strict_json import read_json
from feature_generator import FeatureGenerator

FOLDER = "generator"
FEATURES = f"{FOLDER}/features.json"
_ENVIRONMENT = re.compile(r"\$\{[A-Za-z_]\w*\}")


def read_generator(bundle: Bundle) -> FeatureGenerator:
    """The generator of a bundle.

    A features file may name other files and environment variables. Here it may name files of the bundle only, and no
    variable: a config was resolved when it was exported.

    Raises:
        BundleError: It is damaged, or reaches outside of the bundle.
    """
    folder = bundle.folder(FOLDER)
    for name in (n for n in bundle.manifest.files if n.endswith(".json")):
        read_json(bundle.file(name))  # bounded in size and depth, whoever reads it after
    for key, text in _texts(read_json(bundle.file(FEATURES))):
        if key.endswith("_file") and f"{FOLDER}/{text}" not in bundle.manifest.files:
            raise BundleError(f"{folder}: names the file '{text[:100]}', which is no file of the bundle")
        if _ENVIRONMENT.search(text):
            raise BundleError(f"{folder}: names an environment variable: '{text[:100]}'")
    try:
        return FeatureGenerator.load(folder)
    except ConfigError as error:
        raise BundleError(f"{bundle.path}: the generator cannot be read: {error}") from None
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise BundleError(f"{folder}: is damaged: {error}") from error


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in plain data, keys included, with the key that it stands under."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, key)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield "", name
            yield from _texts(item, name)
