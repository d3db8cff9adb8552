"""What a file of encoded columns says of the generator that made it, and whether another one would make the same.

It stands in the metadata of the parquet schema under `feature_generator`, as JSON: fingerprint, version of the
package, and what decided the columns - hash, configs, digests of the vocabularies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as metadata_version
from typing import TYPE_CHECKING, Any

from feature_generator.errors import ConfigError, DataError, Problem, distribution, nearest
from feature_generator.saved import FORMAT, description

if TYPE_CHECKING:
    from feature_generator.generator import FeatureGenerator

KEY = b"feature_generator"

MODEL_KEYS = frozenset(
    {
        "embedding_dim",
        "embedding_name",
        "pooling",
        "trainable",
        "dense_embedding",
        "fg_encoded_default_value",
        "fg_encoded_multival_sep",
    }
)
"""Keys that say what becomes of an output, not what it is: they may change after the file was written."""


@dataclass(frozen=True)
class Origin:
    """The generator behind a file.

    Attributes:
        fingerprint: `FeatureGenerator.fingerprint` of it.
        version: Version of the package that wrote the file.
        description: `saved.description` of it.
    """

    fingerprint: str
    version: str
    description: Mapping[str, Any]

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        """What decides each output."""
        return _decisive(self.description["features"])


def metadata(generator: FeatureGenerator) -> dict[bytes, bytes]:
    """Metadata for the schema of a file that `generator` makes."""
    content = {"fingerprint": generator.fingerprint, "version": _version(), "generator": description(generator)}
    return {KEY: json.dumps(content, ensure_ascii=False, sort_keys=True).encode()}


def read_origin(metadata: Mapping[bytes, bytes] | None, file: str = "") -> Origin | None:
    """The origin that a schema's metadata names; None for files that no generator of ours made.

    Raises:
        DataError: The metadata is damaged.
    """
    if not metadata or KEY not in metadata:
        return None
    try:
        content = json.loads(metadata[KEY])
        found = Origin(content["fingerprint"], content["version"], content["generator"])
        names = found.features
    except (ValueError, KeyError, TypeError):
        raise DataError("the metadata 'feature_generator' of the schema is damaged", file=file) from None
    del names
    return found


def check_origin(origin: Origin, generator: FeatureGenerator, file: str) -> None:
    """Check that the features of `generator` are those that the columns of `file` hold.

    The file may have more features, in any order, and other embeddings.

    Raises:
        ConfigError: A feature differs; names each with what differs.
    """
    ours = description(generator)
    if generator.mode == "raw":
        stored = origin.features
        for name, config in _decisive(ours["features"]).items():
            if stored.get(name) == config and not config.get("stub_type"):
                text = f"{file} holds encoded features ('{name}' among them), but they are read as raw columns"
                raise ConfigError([Problem(f"{text}\nset data.fg: encoded")])
        return
    found = list(_differences(origin, ours))
    if found:
        text = f"{file} was made with other features (by version {origin.version}); make it anew, or mend the config"
        raise ConfigError([Problem("\n".join([text, *found]))])


def _differences(origin: Origin, ours: Mapping[str, Any]) -> Iterator[str]:
    if origin.description.get("format") != FORMAT:
        yield f"its format is {origin.description.get('format')}, but this version makes {FORMAT}"
    if origin.description.get("hash") != ours["hash"]:
        yield f"hash: {origin.description.get('hash')} in the file, {ours['hash']} in the config"
    stored = origin.features
    for name, config in _decisive(ours["features"]).items():
        if name not in stored:
            yield f"'{name}': not in the file{nearest(name, stored)}"
            continue
        different = [key for key in sorted({*config, *stored[name]}) if config.get(key) != stored[name].get(key)]
        if different:
            told = (f"{k} {_shown(stored[name].get(k))} in the file, {_shown(config.get(k))} here" for k in different)
            yield f"'{name}': {'; '.join(told)}"


def features_by_name(features: Any) -> dict[str, dict[str, Any]]:
    """Config of every feature by its output's name; of a sequence its own keys, and its children under theirs."""
    found = {}
    for config in features:
        found[config["name"]] = {k: v for k, v in config.items() if k != "features"}
        for child in config.get("features", ()):
            found[f"{config['name']}__{child['name']}"] = child
    return found


def _decisive(features: Any) -> dict[str, dict[str, Any]]:
    """The same without the keys of models."""
    named = features_by_name(features).items()
    return {name: {k: v for k, v in config.items() if k not in MODEL_KEYS} for name, config in named}


def _shown(value: Any) -> str:
    text = "unset" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


@cache  # to look for it takes most of a second, and a run in parts writes many files
def _version() -> str:
    try:
        return metadata_version(distribution())
    except (KeyError, PackageNotFoundError):
        return "not installed"
