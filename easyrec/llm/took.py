"""What was asked, what came of it and what it took: the rows that the command and the pages show of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = (
    "asked for",
    "model",
    "asked",
    "from cache",
    "answered",
    "unparsed",
    "refused",
    "rejected",
    "tokens in",
    "tokens out",
    "cost",
)
TEXTS = 2
"""So many columns are words; the others are numbers."""


def rows_of(prompts: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """A row for each thing that was asked for.

    Args:
        prompts: By what was asked for: as `prompts` of a report, see `easyrec.llm.asking.write_report`.
    """
    return [
        [
            name,
            one["model"],
            *(f"{one[key]:,}" for key in ("asked", "from_cache", "answered")),
            f"{one['unparsed'] + one['cut']:,}",
            f"{one['refused']:,}",
            f"{one['rejected'] + one['failed']:,}",
            *(f"{one['tokens'][key]:,}" for key in ("input", "output")),
            f"{one['cost']:.4g}",
        ]
        for name, one in prompts.items()
    ]
