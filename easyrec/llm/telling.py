"""How what others wrote is told to a model: as data, a JSON object a line, which nothing in it can end or pass for a turn."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Characters that people do not see and models do: controls, marks of direction, empty ones, tags."""
TURNS = re.compile(r"<(?=[|/\uff5c]|\w+>|<)|[|\uff5c](?=>)|\[(?=/?[A-Z_]{3,}\])")
"""How the marks begin and end by which models tell turns apart: `<|im_start|>`, `</s>`, `<start_of_turn>`, `<<SYS>>`, `[INST]`."""
BREAKS = re.compile("[\x85\u2028\u2029]")
"""Ends of lines that JSON does not escape."""


def seen(text: str) -> str:
    """A text without what people do not see in it."""
    return UNSEEN.sub("", text)


def line(told: Mapping[str, Any]) -> str:
    """An object as one line of JSON, in which no mark of a turn stands as it is; read as JSON it is what it was."""
    text = json.dumps(told, ensure_ascii=False)
    text = TURNS.sub(_escaped, text)
    return BREAKS.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"


def plain(text: str) -> str:
    """A text that stands by itself, with its marks of turns broken."""
    return TURNS.sub(lambda found: found.group() + " ", seen(text))
