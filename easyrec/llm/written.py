"""No tool writes over a table that it reads, or one table over another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

READ = frozenset({"path", "input"})
WRITTEN = "output"
"""What keys of files are called in the sections of all tools."""
Keys = tuple[str | int, ...]


def clashes(section: BaseModel, keys: Keys) -> Iterator[tuple[str, Keys]]:
    """What would be written over what, with the key that says so.

    A table may be written that a later entry of the same list reads.

    Args:
        section: Of a tool.
        keys: The way to it.
    """
    files = list(_files(section, keys))
    inputs = [(file, way) for file, way in files if way[-1] in READ]
    outputs = [(file, way) for file, way in files if way[-1] == WRITTEN]
    for place, (file, way) in enumerate(outputs):
        if twin := next((other for known, other in outputs[:place] if known == file), None):
            yield f"'{_dotted(twin)}' is written to this file too", way
        read = next((other for known, other in inputs if known == file and not _is_later(other, way)), None)
        if read is not None:
            yield f"'{_dotted(read)}' reads this file, which would be written over", way


def _files(value: object, keys: Keys) -> Iterator[tuple[Path, Keys]]:
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            own = getattr(value, name)
            if isinstance(own, str) and (name in READ or name == WRITTEN):
                yield Path(own).resolve(), (*keys, name)
            else:
                yield from _files(own, (*keys, name))
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from _files(one, (*keys, place))


def _is_later(read: Keys, written: Keys) -> bool:
    """Whether what reads stands in the list behind what writes."""
    a, b = next(((a, b) for a, b in zip(read, written, strict=False) if a != b), ("", ""))
    return isinstance(a, int) and isinstance(b, int) and a > b


def _dotted(keys: Keys) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")
