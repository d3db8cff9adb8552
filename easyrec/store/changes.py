"""What differs between two definitions of a project, and whether those who read it would notice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from easyrec.store.definitions import StoreConfig

PLACES = {"entities": "entity", "views": "view", "models": "model", "labels": "label table"}
WORDS = ("description", "owner", "tags")
"""What is for people alone."""


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        kind: What became of it.
        what: Where it is, such as `view 'profile' . field 'age'`.
        before: As it was, in short; empty where it is new.
        after: As it is now; empty where it is gone.
        breaks: Why those who read it would notice; empty: they would not.
    """

    kind: Literal["added", "removed", "changed"]
    what: str
    before: str = ""
    after: str = ""
    breaks: str = ""


def changes(before: StoreConfig | None, after: StoreConfig) -> list[Change]:
    """The differences between two definitions, in the order of the definitions.

    Args:
        before: The earlier one; None: there was none.
        after: The later one.
    """
    old: dict[str, Any] = {} if before is None else before.model_dump()
    new = after.model_dump()
    found = list(_settings("online store", old.get("online"), new["online"], ""))
    for place, called in PLACES.items():
        was, now = ({one["name"]: one for one in data.get(place, ())} for data in (old, new))
        for name in [*was, *(name for name in now if name not in was)]:
            found += _member(called, name, was.get(name), now.get(name))
    return found


def _member(called: str, name: str, was: Any, now: Any) -> Iterator[Change]:
    what = f"{called} '{name}'"
    if was is None:
        yield Change("added", what, after=_short(now))
    elif now is None:
        yield Change("removed", what, before=_short(was), breaks=f"who reads this {called} finds it no more")
    elif called == "view":
        yield from _view(what, was, now)
    else:
        yield from _settings(what, was, now, "who reads by it asks for another thing" if called == "entity" else "")


def _view(what: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    before, after = ({field["name"]: field for field in view["fields"]} for view in (was, now))
    for name in [*before, *(name for name in after if name not in before)]:
        place = f"{what} . field '{name}'"
        if name not in before:
            yield Change("added", place, after=after[name]["type"])
        elif name not in after:
            yield Change("removed", place, before=before[name]["type"], breaks="who reads this field finds it no more")
        elif before[name]["type"] != after[name]["type"]:
            breaks = "rows that are there hold the former type: give the field another name"
            yield Change("changed", place, before[name]["type"], after[name]["type"], breaks)
    breaking = {
        "entity": "its rows are of other keys",
        "online": "who reads it online finds it no more" if was["online"] else "",
        "event_time": "rows that are there have other times" if was["event_time"] else "",
        "type": "it is fed in another way",
    }
    for key in was:
        if key not in ("name", "fields") and was[key] != now[key]:
            yield from _settings(f"{what} . {key}", was[key], now[key], breaking.get(key, ""))


def _settings(what: str, was: Any, now: Any, breaks: str) -> Iterator[Change]:
    if was == now:
        return
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*was, *now]):
            told = "" if key in WORDS else breaks
            yield from _settings(f"{what} . {key}", was.get(key), now.get(key), told)
        return
    kind: Literal["added", "removed", "changed"] = "added" if was is None else "removed" if now is None else "changed"
    yield Change(kind, what, _short(was), _short(now), breaks if was is not None else "")


def _short(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        fields = value.get("fields")
        return "" if fields is None else f"{len(fields)} fields"
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return ", ".join(str(one.get("view", one.get("name", one))) for one in value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
