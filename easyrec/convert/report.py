"""What was not carried, or not quite, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from easyrec.convert.message import Message

Kind: TypeAlias = Literal["lost", "changed", "check", "dropped"]
"""`lost`: it changes the result and has no counterpart. `changed`: carried, but not the same. `check`: a decision that
the source does not state. `dropped`: it has no meaning here, and nothing is to be done."""

Target: TypeAlias = tuple[str | int, ...]
"""Path in the YAML of what an entry is about."""


@dataclass(frozen=True)
class Entry:
    """One thing to know.

    Attributes:
        kind: How much it matters.
        path: Where in the source, e.g. `feature_configs[2].id_feature.zch`.
        line: 1-based line there; 0 where the source says nothing.
        why: What became of it.
        todo: What to do; "" for nothing.
        target: What of the YAML it is about; a comment stands there. None for none.
    """

    kind: Kind
    path: str
    line: int
    why: str
    todo: str = ""
    target: Target | None = None


@dataclass
class Report:
    """Entries in the order of the source."""

    entries: list[Entry] = field(default_factory=list)
    target: Target | None = None
    """What of the YAML the next entries are about, unless they say so themselves."""

    def add(
        self, kind: Kind, message: Message, name: str, why: str, todo: str = "", target: Target | None = None
    ) -> None:
        """Note something about a field of a message, or with name "" about the message itself.

        The field, and all below it, counts as read.
        """
        for value in message.values(name):
            if isinstance(value, Message):
                value.settle()
        path = message.below(name) if name else message.path
        at = None if kind == "dropped" else target if target is not None else self.target
        entry = Entry(kind, path, message.line_of(name) if path else 0, why, todo, at)
        if entry not in self.entries:
            self.entries.append(entry)

    def lose(self, message: Message, fields: Mapping[str, str], todo: str = "") -> None:
        """Note the fields that are there as lost: name -> why."""
        for name, why in fields.items():
            if message.has(name):
                self.add("lost", message, name, why, todo)

    def drop(self, message: Message, fields: Mapping[str, str]) -> None:
        """Note the fields that are there and not empty as dropped: name -> why."""
        for name, why in fields.items():
            if any(not isinstance(value, Message) or value.fields for value in message.values(name)):
                self.add("dropped", message, name, why)

    def finish(self, root: Message) -> None:
        """Note all that nobody has read, and sort by line."""
        for path, line in root.unread():
            text = "the converter does not know this key"
            self.entries.append(Entry("lost", path, line, text, "look up what it does, and whether it is needed"))
        self.entries.sort(key=lambda e: e.line)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """The entries as lines of a table: what, where, why, what to do."""
        return [(e.kind, f"{e.path}, line {e.line}" if e.line else "", e.why, e.todo) for e in self.entries]
