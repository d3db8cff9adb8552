"""Pictures of pipelines: lines for a terminal, and Mermaid for pages that draw it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rag.pipeline.wiring import ANSWER, branches_of, signature_of

DEPTH = 4
"""Blanks before the steps of a branch."""


def as_text(steps: Sequence[Any]) -> str:
    """A line for each step: what it takes, what it gives, and how it is set where it is not as by default."""
    rows: list[tuple[str, str, str]] = []
    _rows(steps, 0, rows)
    name, ports = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    return "\n".join(f"{row[0]:<{name}}  {row[1]:<{ports}}  {row[2]}".rstrip() for row in rows)


def _rows(steps: Sequence[Any], depth: int, rows: list[tuple[str, str, str]]) -> None:
    for config in steps:
        signature = signature_of(config.step_of())
        taken = ", ".join([*signature.needs, *(f"{port}?" for port in signature.takes)])
        given = "" if branches_of(config) else f" -> {', '.join(signature.gives)}"
        rows.append((" " * depth + _label(config), f"{taken}{given}", _settings(config)))
        for branch, inside in branches_of(config).items():
            chosen = " (default)" if branch == getattr(config, "default", None) else ""
            rows.append((f"{' ' * depth}  {branch}:{chosen}", "", "" if inside else "(goes on)"))
            _rows(inside, depth + DEPTH, rows)


def _label(config: Any) -> str:
    return config.called if config.called == config.type else f"{config.called} ({config.type})"


def _settings(config: Any) -> str:
    """What the config says; of a model its name alone."""
    told = config.model_dump(mode="json", exclude_unset=True, exclude={"type", "name", "branches"})
    for key, value in told.items():
        if isinstance(value, dict):
            told[key] = value.get("model") or value.get("type") or "{...}"
    return ", ".join(f"{key}: {str(value)[:60]}" for key, value in told.items())


def as_mermaid(steps: Sequence[Any]) -> str:
    """A flow chart, from the question to the answer."""
    lines = ["flowchart TD", '    question(["question"])', '    answer(["answer"])']
    last = _flow(steps, [("question", "")], lines, [0])
    lines += [f"    {node} -->{_edge(label)} answer" for node, label in last]
    return "\n".join(lines)


def _flow(
    steps: Sequence[Any], before: list[tuple[str, str]], lines: list[str], count: list[int]
) -> list[tuple[str, str]]:
    """Add steps behind nodes, and give those that the next step stands behind."""
    for config in steps:
        count[0] += 1
        node = f"s{count[0]}"
        branches = branches_of(config)
        sides = ("{", "}") if branches else ("[", "]")
        lines.append(f'    {node}{sides[0]}"{_plain(_label(config))}"{sides[1]}')
        lines += [f"    {former} -->{_edge(label)} {node}" for former, label in before]
        before = [(node, "")]
        if branches:
            before = []
            for branch, inside in branches.items():
                ends = _flow(inside, [(node, branch)], lines, count)
                if any(ANSWER in signature_of(step.step_of()).gives for step in inside):
                    lines += [f"    {end} -->{_edge(label)} answer" for end, label in ends]
                else:
                    before += ends
    return before


def _edge(label: str) -> str:
    return f'|"{_plain(label)}"|' if label else ""


def _plain(text: str) -> str:
    """A text in which nothing means something to Mermaid."""
    return "".join(c if c.isalnum() or c in " _-()" else f"#{ord(c)};" for c in text)
