"""Files that features name: their names in a config that is written to another folder."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def located(listed: Any, configs: Sequence[Any], file: str) -> Any:
    """Features as they are written, with the whole path of files that lie beside their config and would not be found elsewhere.

    A file such as `vocab_file: words.txt` is looked up beside the config first. Names that the folder in which the command
    runs leads to as well stay as they are.

    Args:
        listed: The features, or the path of a file that holds them, which is left alone.
        configs: The same features, validated.
        file: Where they are written; empty where that is no file.
    """
    if not file or not isinstance(listed, list):
        return listed
    folder, known = Path(file).parent, {config.name: config for config in configs if getattr(config, "name", None)}
    found = []
    for one in listed:
        config = known.get(one.get("name"))
        files = getattr(config, "files", {})
        copied = copy.deepcopy(one) if files or "features" in one else one
        for key, name in files.items():
            _put(copied, key.split("."), name, folder)
        if isinstance(copied.get("features"), list):
            copied["features"] = located(copied["features"], getattr(config, "features", ()), file)
        found.append(copied)
    return found


def _put(feature: dict[str, Any], key: Sequence[str], name: str, folder: Path) -> None:
    *parents, last = key
    at: Any = feature
    for parent in parents:
        at = at.get(parent) if isinstance(at, dict) else None
    if not isinstance(at, dict) or at.get(last) != name:  # a space, or what `fit` has learned
        return
    here, beside = Path(name), folder / name
    if not here.is_absolute() and beside.exists() and not (here.exists() and here.samefile(beside)):
        at[last] = str(beside.absolute())
