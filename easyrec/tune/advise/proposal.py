"""`Proposal`: a change of the config, and the reason for it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["high", "medium", "low"]
ORDER: tuple[Severity, ...] = ("high", "medium", "low")
"""The most severe first."""


@dataclass(frozen=True)
class Proposal:
    """What a rule has found.

    Attributes:
        severity: `high`: results are wrong or worthless; `medium`: quality or much time is lost; `low`: some is.
        where: The place of the config, as an override names it.
        seen: What is seen, in figures.
        why: Why it matters.
        effect: What the change is expected to do, and how sure that is.
        settings: The change: values by place. Empty where no setting mends it.
        subject: What of the config it is about, where a rule may find several; a feature as a rule.
        rule: Whose it is.
        file: The file of the place; empty where the config came from none.
        line: Its line, 0 where it is not written.
        reached: Whether `-o` reaches the places; not those inside of a features file.
    """

    severity: Severity
    where: str
    seen: str
    why: str
    effect: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    subject: str = ""
    rule: str = ""
    file: str = ""
    line: int = 0
    reached: bool = True

    @property
    def key(self) -> str:
        """What `--only` and `--skip` call it."""
        return f"{self.rule}:{self.subject}" if self.subject else self.rule

    @property
    def place(self) -> str:
        """Where it stands, as people read it."""
        line = f", line {self.line}" if self.line else ""
        return f"{self.where} ({self.file}{line})" if self.file else self.where

    @property
    def overrides(self) -> list[str]:
        """The change as `-o` takes it."""
        return [f"{place}={json.dumps(value, ensure_ascii=False)}" for place, value in self.settings.items()]

    @property
    def option(self) -> str:
        """The change as words of a command line; empty where there is none, or `-o` does not reach it."""
        return f"-o {' '.join(map(shlex.quote, self.overrides))}" if self.settings and self.reached else ""

    def told(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **{name: getattr(self, name) for name in ("key", "rule", "subject", "severity", "where", "file", "line")},
            **{name: getattr(self, name) for name in ("seen", "why", "effect")},
            "settings": dict(self.settings),
            "overrides": self.overrides,
            "reached": self.reached,
        }
