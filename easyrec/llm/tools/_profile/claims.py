"""What of an answer may stand in a profile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from easyrec.llm.grounds import Grounds
from easyrec.llm.texts import cut
from easyrec.llm.tools.profile import UNKNOWN, FieldConfig

HALF = 0.5
"""Of a text's words that must stand in what was told, where it is grounded."""
EXAMPLES = 10


@dataclass
class Claims:
    """Takes answers apart, and counts.

    Args:
        fields: What was asked for.
        grounds: Compares claims with texts; None where no field is grounded.
    """

    fields: Sequence[FieldConfig]
    grounds: Grounds | None
    made: Counter[str] = field(default_factory=Counter)
    unsupported: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def taken(self, answer: BaseModel, told: str) -> tuple[dict[str, Any], int]:
        """The values of a row, and how many claims were dropped.

        Args:
            answer: What the model said.
            told: The text that it was told.
        """
        words = frozenset[str]() if self.grounds is None else self.grounds.words(told)
        row: dict[str, Any] = {}
        dropped = 0
        for one in self.fields:
            said = getattr(answer, one.name)
            claims = said if one.type == "list" else [said]
            values = []
            for claim in claims:
                value = claim if isinstance(claim, str) else claim.value
                value = cut(value, one.characters) if not one.allowed else value
                value = " ".join(value.split())
                if not value or (one.type == "choice" and value == UNKNOWN):
                    continue
                self.made[one.name] += 1
                quote = "" if isinstance(claim, str) else claim.quote
                if one.grounded and not self._stands(one, value, quote, words, told):
                    dropped += 1
                    self._drop(one.name, value)
                elif value not in values:
                    values.append(value)
            row[one.name] = values if one.type == "list" else (values[0] if values else None)
            self.unknown[one.name] += not values
        return row, dropped

    def _stands(self, one: FieldConfig, value: str, quote: str, words: frozenset[str], told: str) -> bool:
        """Whether what was told says so."""
        assert self.grounds is not None
        if one.type == "text":
            return self.grounds.share(value, words) >= HALF
        if self.grounds.share(value, words) == 1.0:
            return True
        return one.grounded == "quoted" and self.grounds.quotes(quote, told)

    def _drop(self, name: str, value: str) -> None:
        self.unsupported[name] += 1
        some = self.examples.setdefault(name, [])
        if len(some) < EXAMPLES and value not in some:
            some.append(value)
