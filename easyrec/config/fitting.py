"""Which members of a family are for tasks of some types."""

from __future__ import annotations

from collections.abc import Iterable

from feature_generator.config import member, members


def fitting(family: str, types: Iterable[str]) -> str:
    """The members that are for tasks of one of these types, side by side; "none" where there is none."""
    wanted = set(types)
    return ", ".join(n for n in members(family) if wanted & set(member(family, n).Config.task_types)) or "none"
