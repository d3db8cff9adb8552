"""What clients post, read strictly: questions and events."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from easyrec.errors import nearest
from serving.engine.ask import Question
from serving.engine.config import MOST_SIZE
from serving.engine.history import Event
from serving.server.http import Refused

ASKED = ("scene", "user_id", "size", "user", "context", "request_id", "time", "page", "seed")
EVENT = ("event_id", "type", "request_id", "user_id", "item_id", "time", "value")
MOST_EVENTS, MOST_TEXT, MOST_PAGE = 10_000, 256, 100
LARGEST_TIME = 1 << 53
MOST_TOLD = 10_000


def question_of(data: Any) -> Question:
    """A question, of the JSON of its body.

    Raises:
        Refused: It is none; names the key.
    """
    _object(data, ASKED, "the body")
    kept: dict[str, Any] = {"scene": "", **data}
    kept["user_id"] = _id(data, "user_id")
    if not isinstance(kept["scene"], str):
        raise _wrong("scene", "must be a text")
    for key, least, most in (("size", 1, MOST_SIZE), ("page", 0, MOST_PAGE), ("time", 0, LARGEST_TIME)):
        if key in data:
            kept[key] = _whole(data, key, least, most)
    if "seed" in data:
        kept["seed"] = _whole(data, "seed", 0, LARGEST_TIME)
    for key in ("user", "context"):
        if key in data and not isinstance(data[key], Mapping):
            raise _wrong(key, "must be an object of columns")
    if "request_id" in data:
        kept["request_id"] = _text(data, "request_id")
    return Question(**kept)


def traced_of(data: Any) -> tuple[Question, int, list[Any]]:
    """A question of which the trace is wanted, of how many candidates, and of which items alone.

    Raises:
        Refused: It is none; names the key.
    """
    _object(data, (*ASKED, "parameters", "most", "items"), "the body")
    about = data.get("items", [])
    about = about if isinstance(about, list) else [about]
    if len(about) > MOST_TOLD:
        raise _wrong("items", f"must be a list of at most {MOST_TOLD:,} items")
    for number in range(len(about)):
        _id({f"items[{number}]": about[number]}, f"items[{number}]")
    most = _whole(data, "most", 1, MOST_TOLD) if "most" in data else 200
    parameters = data.get("parameters", {})
    if not isinstance(parameters, Mapping) or len(parameters) > 100:
        raise _wrong("parameters", "must be an object of at most 100 values by their paths")
    question = question_of({key: value for key, value in data.items() if key in ASKED})
    return replace(question, parameters=parameters), most, about


def id_of(text: str) -> str | int:
    """A user as a word of a command line or an address tells it: a whole number where it is one."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(text) < 19 else text


def asked_by(query: bytes) -> dict[str, Any]:
    """The body that what stands behind `?` means.

    Raises:
        Refused: It cannot be read.
    """
    try:
        words = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise Refused(400, "query", "what stands behind '?' cannot be read") from None
    found: dict[str, Any] = {}
    for key, text in words:
        if key.startswith("with."):
            found.setdefault("parameters", {})[key.removeprefix("with.")] = _value(text)
        elif key in ("user", "context", "size", "time", "page", "seed", "most", "items"):
            found[key] = _value(text)
        elif key == "user_id":
            found[key] = id_of(text)
        else:
            found[key] = text
    return found


def _value(text: str) -> Any:
    """JSON where it is such, else the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def events_of(data: Any, types: Collection[str]) -> tuple[list[Event], list[Mapping[str, Any]]]:
    """Events, of the JSON of their body: all of them, or none.

    Args:
        data: It.
        types: The types of events that are taken.

    Returns:
        The events, and what is to be written down of each.

    Raises:
        Refused: One is none; names its key and place.
    """
    _object(data, ("events",), "the body")
    given = data.get("events")
    if not isinstance(given, list):
        raise _wrong("events", "must be a list of events")
    if len(given) > MOST_EVENTS:
        raise Refused(413, "events", f"{len(given):,} events, but at most {MOST_EVENTS:,} are taken at a time")
    found: list[Event] = []
    kept: list[Mapping[str, Any]] = []
    now = time.time_ns() // 1_000_000
    for row, one in enumerate(given):
        try:
            _object(one, EVENT, "an event")
            kind = _text(one, "type")
            if kind not in types:
                raise _wrong("type", f"'{kind}' is not among 'events' of the config{nearest(kind, list(types))}")
            event = Event(
                _text(one, "event_id"),
                kind,
                _id(one, "user_id"),
                _id(one, "item_id"),
                _whole(one, "time", 0, LARGEST_TIME) if "time" in one else now,
                _text(one, "request_id") if one.get("request_id") is not None else "",
                _number(one, "value") if one.get("value") is not None else 1.0,
            )
        except Refused as refused:
            raise Refused(400, refused.reason, f"events[{row}]: {refused}", column=refused.column, row=row) from None
        found.append(event)
        kept.append({name: getattr(event, name) for name in EVENT})
    return found, kept


def _object(data: Any, known: Collection[str], what: str) -> None:
    if not isinstance(data, Mapping):
        raise Refused(400, "json", f"{what} must be an object: {{{', '.join(known)}}}")
    for key in data:
        if key not in known:
            told = f"unknown key '{key[:100]}'{nearest(key, list(known))}; known: {', '.join(known)}"
            raise Refused(400, "unknown_key", told, column=key[:100])


def _id(data: Mapping[str, Any], key: str) -> str | int:
    value = data.get(key)
    if isinstance(value, str) and 0 < len(value) <= MOST_TEXT:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63:
        return value
    raise _wrong(key, f"must be a whole number or a text of 1 to {MOST_TEXT} characters")


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= MOST_TEXT:
        raise _wrong(key, f"must be a text of 1 to {MOST_TEXT} characters")
    return value


def _whole(data: Mapping[str, Any], key: str, least: int, most: int) -> int:
    value = data.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _wrong(key, f"must be a whole number from {least} to {most}")
    return value


def _number(data: Mapping[str, Any], key: str) -> float:
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        raise _wrong(key, "must be a number")
    return float(value)


def _wrong(key: str, text: str) -> Refused:
    return Refused(400, "value", f"'{key}' {text}", column=key)
