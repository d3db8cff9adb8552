"""Members of families from outside: packages that are laid out like ours, and single files."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from feature_generator.errors import ConfigError, nearest

logger = logging.getLogger("feature_generator.plugins")

NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]*$")


@dataclass(frozen=True)
class PluggedFile:
    """A file that holds one member of a family.

    Attributes:
        path: The file.
        family: Import name of the family.
        name: The member's name, the file's stem.
        module: The file's content, run.
        sha256: Of the file's bytes when it was run.
    """

    path: Path
    family: str
    name: str
    module: ModuleType
    sha256: str


packages: list[str] = []
"""Packages whose files are members of families, in the order in which they were plugged in."""
files: dict[tuple[str, str], PluggedFile] = {}
"""Single files by family and name."""
_running: list[str] = []
"""Files that are being read."""


def is_file(plugin: str | os.PathLike[str]) -> bool:
    """Whether a plugin is a file rather than a package."""
    return not isinstance(plugin, str) or plugin.endswith(".py") or os.sep in plugin


def exists(module: str) -> bool:
    """Whether there is a module of this name."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a parent is missing, or the name is no name
        return False


def add_package(package: str) -> None:
    """See `feature_generator.config.plug`."""
    if not exists(package):
        raise ConfigError(f"there is no package '{package}' to plug in")
    if package not in packages:
        packages.append(package)


def add_file(plugin: str | os.PathLike[str], known: Any) -> None:
    """See `feature_generator.config.plug`; `known(family)` gives the names of its members."""
    path = Path(plugin).resolve()
    place = os.fspath(plugin)
    if not path.is_file():
        raise ConfigError("there is no such file to plug in", place)
    name, content = path.stem, path.read_bytes()
    if not NAME.match(name):
        raise ConfigError(
            f"its name becomes a type's name, so it must be letters, digits and '_', but is '{name}'", place
        )
    digest = hashlib.sha256(content).hexdigest()
    former = next((file for file in files.values() if file.path == path), None)
    if former is not None and former.sha256 == digest:
        return
    module = _run(path, place)
    family = _family(module, name, place)
    if former is None and name in known(family):
        raise ConfigError(f"{family} has a type '{name}' already: give the file another name", place)
    if former is not None:
        del files[former.family, former.name]
    files[family, name] = PluggedFile(path, family, name, module, digest)


def blamed(error: BaseException) -> str | None:
    """`file:line` of a plugin in which an error arose; None: it arose elsewhere."""
    homes = [str(file.path) for file in files.values()] + _running
    for package in packages:
        spec = importlib.util.find_spec(package)
        homes += [f"{folder}{os.sep}" for folder in (spec.submodule_search_locations or [] if spec else [])]
    if isinstance(error, SyntaxError) and error.filename and error.filename.startswith(tuple(homes)):
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    return next((f"{f.filename}:{f.lineno}" for f in reversed(frames) if f.filename.startswith(tuple(homes))), None)


def _run(path: Path, place: str) -> ModuleType:
    """The file's content as a module."""
    if str(path) in _running:
        text = "plugs itself in while it is read"
        raise ConfigError(f'{text}: put what it runs below  if __name__ == "__main__":', place)
    spec = importlib.util.spec_from_file_location(f"plugged_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    former = sys.modules.get(spec.name)
    sys.modules[spec.name] = module
    _running.append(str(path))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        line = (blamed(error) or "").rpartition(":")[2]
        if former is None:
            del sys.modules[spec.name]
        else:
            sys.modules[spec.name] = former
        told = (
            f"cannot be plugged in: {error if isinstance(error, ConfigError) else f'{type(error).__name__}: {error}'}"
        )
        raise ConfigError(told, f"{place}:{line}" if line else place) from error
    finally:
        _running.remove(str(path))
    return module


def _family(module: ModuleType, name: str, place: str) -> str:
    """The family that the base class of the file's `Config` is of."""
    config = getattr(module, "Config", None)
    family = getattr(config, "family", None)
    if not isinstance(config, type) or not isinstance(family, str):
        found = [n for n, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        text = "must hold a class 'Config' over the base config of a family: ModelConfig, LossConfig, MetricConfig, ..."
        raise ConfigError(f"{text}\nit defines: {', '.join(found) or 'nothing'}{nearest('Config', found)}", place)
    default = config.model_fields["type"].get_default()  # type: ignore[attr-defined]
    if isinstance(default, str) and default != name:
        raise ConfigError(f"the type is called like its file, '{name}', but its Config says '{default}'", place)
    return family


def used(*configs: Any) -> list[dict[str, str]]:
    """The plugins whose members stand in these configs: what to plug in before they can be read again.

    Returns:
        For each a `plugin`, the name of its file or package; a file's `family`, `type` and `sha256` as well.
    """
    modules, operators = set[str](), set[str]()
    for config in _every(configs):
        modules.add(type(config).__module__)
        operators.add(str(getattr(config, "operator_name", "")))
    found = [
        {"plugin": file.path.name, "family": file.family, "type": file.name, "sha256": file.sha256}
        for file in files.values()
        if file.module.__name__ in modules
    ]
    for package in packages:
        home = f"{package}.operators"
        brings = exists(home) and any(exists(f"{home}.{_snake(name)}") for name in operators if name)
        if brings or any(module.startswith(f"{package}.") for module in modules):
            found.append({"plugin": package})
    return found


def missing(recorded: Any) -> list[str]:
    """Which of the plugins that `used` gave are not plugged in; warns of files that have changed."""
    found: list[str] = []
    for entry in recorded if isinstance(recorded, list) else []:
        plugin = str(entry.get("plugin")) if isinstance(entry, Mapping) else str(entry)
        if not isinstance(entry, Mapping) or "type" not in entry:
            found += [] if plugin in packages else [plugin]
            continue
        file = files.get((str(entry.get("family")), str(entry["type"])))
        if file is None:
            found.append(plugin)
        elif file.sha256 != entry.get("sha256"):
            logger.warning("the plugin %s has changed since it was used here", file.path)
    return found


def _every(value: Any) -> Iterator[BaseModel]:
    """All configs inside a value."""
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            yield from _every(getattr(value, name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _every(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _every(item)


def _snake(name: str) -> str:
    """`EditDistance` -> `edit_distance`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
