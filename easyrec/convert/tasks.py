"""What is predicted and measured, of both peers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from easyrec.convert.draft import Draft
from easyrec.convert.message import Message
from easyrec.convert.report import Report
from feature_generator.config import member

Metric = Callable[[Message, Report], Any]


def plain_name(text: str) -> str:
    """A task's name of letters, digits and '_'."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    return name if re.match(r"[A-Za-z_]", name) else f"task_{name}"


def single(draft: Draft, kind: dict[str, Any]) -> dict[str, Any]:
    """`tasks` of a model with one task: nothing for a binary one, which is the default."""
    label = draft.data["labels"][0]
    if kind == {"type": "binary"}:
        return {}
    return {"tasks": [{"name": plain_name(label), "label": label, **kind}]}


def columns(draft: Draft) -> dict[str, str]:
    """The raw column of each feature that reads one: theirs group by features, ours by columns."""
    read = [f for f in draft.features if f["type"] in ("id", "raw") and f.get("expression")]
    return {f["name"]: str(f["expression"]).partition(":")[2] for f in read if draft.data.get("fg") != "encoded"}


def metrics(found: Iterable[tuple[Any, Message, str]], kinds: set[str], report: Report) -> list[Any]:
    """Metrics that fit the tasks, each once.

    Args:
        found: (metric, the message that has it, its field) triples; metric None: there is none like it.
        kinds: Types of the tasks.
        report: Where to say which are left out.
    """
    kept: list[Any] = []
    for metric, message, name in found:
        key = metric["type"] if isinstance(metric, dict) else metric
        if metric is None:
            report.add("lost", message, name, "is not measured here", target=("eval",))
        elif not member("easyrec.metrics", key).Config.task_types & kinds:
            report.add("lost", message, name, f"'{key}' is not for tasks of type {', '.join(sorted(kinds))}")
        elif metric not in kept:
            kept.append(metric)
    return kept


def in_space(tower: Message, report: Report, indicator: str) -> dict[str, Any]:
    """The mask of a task that counts only where another label is positive."""
    label = tower.text(indicator)
    inside, outside = tower.number("in_task_space_weight", 1.0), tower.number("out_task_space_weight", 1.0)
    if not label:
        return {}
    if outside == 0 and inside > 0 and re.fullmatch(r"[A-Za-z_]\w*", label):
        if inside != 1:
            report.add("changed", tower, "in_task_space_weight", "rows of the task's space count once")
        return {"mask": f"{label} > 0"}
    why = "rows either count or do not; weights inside and outside of a task's space have no counterpart"
    report.add("lost", tower, indicator, why, f"consider mask: {label} > 0")
    return {}
