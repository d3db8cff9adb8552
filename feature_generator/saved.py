"""A generator on disk: configs and vocabularies in one directory, with checksums."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_generator.config import Document
from feature_generator.errors import ConfigError
from feature_generator.features import named_file

if TYPE_CHECKING:
    from feature_generator.generator import FeatureGenerator, Mode

FORMAT = 1
MANIFEST, FEATURES, VOCABULARIES = "manifest.json", "features.json", "vocabularies"


def save(generator: FeatureGenerator, path: Path) -> None:
    """Write `generator` to the new directory `path`: beside it first, then renamed into place.

    Raises:
        FileExistsError: `path` exists.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        files: dict[str, str] = {}

        def write(name: str, content: bytes) -> None:
            target = temporary / name
            target.parent.mkdir(exist_ok=True)
            with target.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            files[name] = hashlib.sha256(content).hexdigest()

        vocabularies = _vocabularies(generator)
        for content in vocabularies.values():
            write(_stored(content), content)
        features = [
            _dump(f, {name: _stored(content) for name, content in vocabularies.items()}) for f in generator.features
        ]
        write(FEATURES, _json({"features": features, "hash": generator.config.hash}))
        manifest = {"format": FORMAT, "mode": generator.mode, "fingerprint": generator.fingerprint, "files": files}
        write(MANIFEST, _json(manifest))
        temporary.chmod(0o755)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def load(path: Path, mode: Mode | None = None) -> FeatureGenerator:
    """The generator that `save` wrote to `path`.

    Raises:
        ConfigError: A file is missing, altered, or of a newer format.
    """
    from feature_generator.generator import FeatureGenerator  # noqa: PLC0415 (it builds on this module)

    try:
        manifest = json.loads(_read(path, MANIFEST))
        version, files, saved_mode = manifest["format"], dict(manifest["files"]), manifest["mode"]
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{MANIFEST} is not the manifest of a saved generator", str(path)) from None
    if version != FORMAT:
        raise ConfigError(f"the format is {version}, but this version reads {FORMAT}", str(path))
    for name, digest in files.items():
        if name != Path(name).as_posix() or Path(name).is_absolute() or ".." in Path(name).parts:
            raise ConfigError(f"{MANIFEST} names a file outside: '{name}'", str(path))
        if hashlib.sha256(_read(path, name)).hexdigest() != digest:
            raise ConfigError(f"{name} was altered: its checksum does not match {MANIFEST}", str(path))
    if FEATURES not in files:
        raise ConfigError(f"{MANIFEST} does not list {FEATURES}", str(path))
    document = Document.of(json.loads(_read(path, FEATURES)), str(path / FEATURES))
    generator = FeatureGenerator.load(document, mode or saved_mode)
    if generator.mode == saved_mode and generator.fingerprint != manifest.get("fingerprint"):
        raise ConfigError("the fingerprint does not match: this version reads the features differently", str(path))
    return generator


def fingerprint(generator: FeatureGenerator, mode: Mode | None = None) -> str:
    """SHA-256 over the generator's `description` and mode, or over another mode."""
    return hashlib.sha256(_json(description(generator) | {"mode": mode or generator.mode})).hexdigest()


def description(generator: FeatureGenerator) -> dict[str, Any]:
    """What decides the outputs, as plain data: hash, configs where they differ from the defaults, vocabulary digests."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in _vocabularies(generator).items()}
    return {
        "format": FORMAT,
        "hash": generator.config.hash,
        "features": [_dump(f, digests, exclude_defaults=True) for f in generator.features],
    }


def _read(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {name}: {error.strerror}", str(path)) from None


def _vocabularies(generator: FeatureGenerator) -> dict[str, bytes]:
    """Content of every file that a feature reads, by the name that the config gives it."""
    names = {name for node in generator._resolved for name in node.config.files.values()}
    return {name: named_file(name, generator.folder).read_bytes() for name in sorted(names)}


def _stored(content: bytes) -> str:
    return f"{VOCABULARIES}/{hashlib.sha256(content).hexdigest()[:16]}"


def _dump(config: Any, vocabularies: dict[str, str], exclude_defaults: bool = False) -> dict[str, Any]:
    """A config as plain data, the files that it names renamed."""
    data: dict[str, Any] = {"type": config.type}
    if exclude_defaults:
        data |= config.model_dump(mode="json", exclude_defaults=True, exclude={"features"})
    else:
        data |= config.model_dump(mode="json", exclude_unset=True, exclude={"features"})
    for key, name in getattr(config, "files", {}).items():
        *parents, last = key.split(".")
        place = data
        for parent in parents:
            place = place[parent]
        place[last] = vocabularies[name]
    if hasattr(config, "features"):
        data["features"] = [_dump(child, vocabularies, exclude_defaults) for child in config.features]
    return data


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode()
