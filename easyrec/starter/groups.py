"""The groups of a first config: which features a model reads together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from easyrec.config.model import GroupUse
from easyrec.errors import ConfigError, Problem
from easyrec.starter.rows import Rows


def groups_of(model: str, uses: Mapping[str, GroupUse], rows: Rows) -> dict[str, Any]:
    """The groups that the model reads, by what each is about; one that is like another is left to its default.

    Raises:
        ConfigError: The model needs a sequence, and the data have none.
    """
    found: dict[str, Any] = {}
    for name, use in uses.items():
        if use.like in uses and use.like != name and not use.sequence:
            continue
        features = _features(use, rows)
        if not use.sequence:
            found[name] = features
            continue
        if not rows.sequences:
            text = f"'{model}' needs a sequence in its group '{name}', but no column of the data holds lists"
            raise ConfigError([Problem(text, "--data")])
        sequence, candidates = max(rows.sequences.items(), key=lambda pair: len(pair[1]))  # one with a candidate
        features = [*features, *(candidate for candidate in candidates if candidate not in features)]
        found[name] = {"features": features, "sequences": [{"sequence": sequence}]}
    return found


def _features(use: GroupUse, rows: Rows) -> list[str]:
    every = rows.names()
    chosen = {"all": every, "user": rows.names("user"), "item": rows.names("item"), "domain": rows.domain}[use.about]
    if use.fields or use.first_order:  # numbers alone are no fields
        return chosen if set(chosen) - rows.numbers else every
    return chosen or every
