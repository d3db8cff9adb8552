"""Learning rates over time, of both peers."""

from __future__ import annotations

from typing import Any

from easyrec.convert.message import Message
from easyrec.convert.report import Report


def exponential(message: Message, report: Report, names: dict[str, str]) -> dict[str, Any]:
    """An exponential decay.

    Args:
        message: Its message.
        report: Where to say what is not carried.
        names: What the peer calls `steps`, `warmup_steps` and `warmup_from`.
    """
    found: dict[str, Any] = {"type": "exponential", "rate": float(message.number("decay_factor", 0.95))}
    found["steps"] = max(message.integer(names["steps"], 4_000_000), 1)
    found["staircase"] = message.flag("staircase", default=True)
    if message.number("min_learning_rate"):
        found["minimum"] = float(message.number("min_learning_rate"))
    warmup = message.integer(names["warmup_steps"])
    if warmup:
        found["warmup_steps"] = warmup
        why = "the decay counts from the first step, theirs from the end of the warm-up"
        report.add("changed", message, names["warmup_steps"], why)
    if message.number(names["warmup_from"]):
        report.add("changed", message, names["warmup_from"], "a warm-up starts from zero")
    message.values(names["warmup_from"])
    return found


def steps(switches: list[tuple[int, float]], base: float) -> dict[str, Any]:
    """A table of (first step, rate) pairs; {} where there is nothing to multiply."""
    if not switches or not base:
        return {}
    ordered = dict(sorted(switches))
    return {"type": "steps", "boundaries": list(ordered), "factors": [rate / base for rate in ordered.values()]}


def cosine(total: int, warmup: int, minimum: float) -> dict[str, Any]:
    """Half a cosine."""
    found: dict[str, Any] = {"type": "cosine"}
    found |= {"steps": total} if total else {}
    found |= {"warmup_steps": warmup} if warmup else {}
    return found | ({"minimum": minimum} if minimum else {})
