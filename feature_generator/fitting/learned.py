"""`Learned`: the folder beside a config that holds what its features have learned, and how a config takes it in.

`config.yaml` has `config.fitted/`: `fitted.json`, which says what was learned, from what settings and how many rows,
and a text file per vocabulary. `fitted.json` is replaced last and at once, and names files by what they hold: whoever
reads sees the old state or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from feature_generator.config import Document, Path_, StrictModel
from feature_generator.errors import ConfigError, OutputError, Problem
from feature_generator.fitting.outcome import Outcome
from feature_generator.fitting.subject import Subject, blank, replaced, subjects, with_keys

FORMAT = 1
MANIFEST = "fitted.json"


def folder_of(file: str) -> Path:
    """Where a config's features keep what they learn: beside it."""
    path = Path(file)
    return path.with_name(f"{path.stem}.fitted")


@dataclass
class Learned:
    """What features have learned.

    Attributes:
        rows: Rows that were read.
        outcomes: By feature.
        settings: What decided them, by feature.
    """

    rows: int
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write or replace the folder's content.

        Files that the former content named stay until the next time: a job that runs may still want to read them.

        Raises:
            OutputError: The disk refuses.
        """
        folder = Path(folder)
        features: dict[str, Any] = {}
        kept = _named(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, made in self.outcomes.items():
                files = {}
                for key, content in made.files.items():
                    digest = hashlib.sha256(content).hexdigest()
                    files[key] = {"name": f"{quote(name, safe='')[:100]}.{digest[:12]}.txt", "sha256": digest}
                    _put(folder / files[key]["name"], content)
                features[name] = {
                    "settings": self.settings[name],
                    "keys": dict(made.keys),
                    "files": files,
                    "told": dict(made.told),
                }
            written = datetime.now(timezone.utc).isoformat(timespec="seconds")
            manifest = {"format": FORMAT, "written": written, "rows": self.rows, "features": features}
            _put(folder / MANIFEST, (json.dumps(manifest, ensure_ascii=False, indent=1) + "\n").encode())
            kept |= _named(folder)
            for path in folder.glob("*.txt"):
                if path.name not in kept:
                    path.unlink()
        except OSError as error:
            raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error


def _named(folder: Path) -> set[str]:
    """Files that the manifest of a folder names; none where it cannot be read."""
    try:
        manifest = read_manifest(folder)
    except ConfigError:
        return set()
    features = {} if manifest is None else manifest["features"]
    return {named["name"] for one in features.values() for named in one["files"].values()}


def _put(path: Path, content: bytes) -> None:
    """A file, whole or not at all."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """What `Learned.write` wrote to `folder`; None if there is nothing.

    Raises:
        ConfigError: It is damaged, or of another format.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        version, features = manifest["format"], manifest["features"]
        for one in features.values():
            _ = one["settings"], one["keys"], [(f["name"], f["sha256"]) for f in one["files"].values()]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"cannot read the file: {error.strerror}", str(path)) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError("is not what easyrec fg fit writes; run it again", str(path)) from None
    if version != FORMAT:
        raise ConfigError(f"the format is {version}, but this version reads {FORMAT}: run easyrec fg fit", str(path))
    return manifest


def is_fitted(features: Any) -> bool:
    """Whether a feature, or a child of a sequence, has the key `fit`."""
    return any(
        getattr(child, "fit", None) is not None
        for one in features
        for child in (getattr(one, "features", None) or [one])
    )


def settle(
    config: Any, document: Document, folder: Path | None, fitted: Path | None = None, blanks: bool = False
) -> Any:
    """A generator's config whose features have ordinary keys in the place of `fit`.

    Args:
        config: The `GeneratorConfig`.
        document: What it was read from.
        folder: Where relative files are looked up first.
        fitted: Folder of what was learned; by default the one beside the document's file.
        blanks: Take stand-ins where nothing was learned, for who wants to know what the features are before.

    Raises:
        ConfigError: A feature is not fitted yet, or was fitted with other settings.
    """
    problems: list[Problem] = []

    def report(path: Path_, message: str) -> None:
        problems.append(document.problem(path, message))

    found = subjects(config.features, report)
    if not problems and not blanks:
        configs = _fitted(found, config.hash, folder, document.file, fitted, report)
    if problems:
        raise ConfigError(sorted(problems, key=lambda p: (p.file, p.line)), document.file)
    if blanks:
        configs = {subject.name: blank(subject) for subject in found}
    return config.model_copy(update={"features": replaced(config.features, configs)})


def _fitted(
    found: list[Subject], hash_name: str, folder: Path | None, file: str, fitted: Path | None, report: Any
) -> dict[str, StrictModel]:
    """Configs with what was learned, by feature."""
    home = fitted or (folder_of(file) if file else None)
    command = f"run: easyrec fg fit -c {file or 'CONFIG'}"
    if home is None:
        for subject in found:
            report(
                (*subject.node.path, "fit"), "is not fitted: features that learn must come from a file, or with fitted="
            )
        return {}
    manifest = read_manifest(home)
    learned = {} if manifest is None else manifest["features"]
    configs = {}
    for subject in found:
        path, one = (*subject.node.path, "fit"), learned.get(subject.name)
        if one is None:
            report(path, f"is not fitted yet; {command}")
            continue
        settings = json.loads(json.dumps(subject.settings(hash_name, folder)))
        if settings != one["settings"]:
            told = "\n".join(differences(one["settings"], settings))
            report(path, f"was fitted with other settings; {command}\n{told}")
            continue
        keys, broken = dict(one["keys"]), ""
        for key, named in one["files"].items():
            place = home / named["name"]
            if not place.is_file() or hashlib.sha256(place.read_bytes()).hexdigest() != named["sha256"]:
                broken = f"{place} is missing or was altered; {command}"
            keys[key] = str(place.resolve())
        if broken:
            report(path, broken)
        else:
            configs[subject.name] = with_keys(subject.config, keys)
    return configs


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What differs between two settings, a line each."""
    found = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            inside = "" if prefix == "" and key == "feature" else f"{prefix}{key}."
            found += differences(old, new, inside)
        elif old != new:
            found.append(f"{prefix}{key}: {_shown(old)} when it was fitted, {_shown(new)} now")
    return found


def _shown(value: Any) -> str:
    text = "unset" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def carry(features: Document, config: Path) -> bool:
    """Copy what features have learned beside the copy `config` of their config, if any of them learns.

    Args:
        features: A document `{"features": [...]}`.
        config: File that holds the same features.

    Returns:
        Whether there was anything to copy.

    Raises:
        OutputError: The disk refuses.
    """
    listed = [child for one in features.data["features"] for child in (one.get("features") or [one])]
    if not features.file or not any("fit" in one for one in listed):
        return False
    source, target = folder_of(features.file), folder_of(str(config))
    manifest = None if source.resolve() == target.resolve() else read_manifest(source)
    if manifest is None:
        return False
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in [*sorted(_named(source)), MANIFEST]:
            _put(target / name, (source / name).read_bytes())
    except OSError as error:
        raise OutputError(f"cannot copy {source} to {target}: {error.strerror or error}") from error
    return True
