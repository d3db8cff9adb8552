"""How much of a document whose content is known was read as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rag.document import Block, Bullets, Figure, Heading, Paragraph, Table


def plain(text: str) -> str:
    """A text without what looks alike; reportlab sets a space between lines of Chinese where it divides a paragraph."""
    return re.sub(r"(?<=[\u2e80-\u9fff\uff00-\uffef]) (?=[\u2e80-\u9fff\uff00-\uffef])", "", " ".join(text.split()))


def distance(a: str, b: str) -> int:
    """How many characters must be changed, added or left out."""
    if not a or not b:
        return max(len(a), len(b))
    second = np.array([ord(c) for c in b])
    row = np.arange(len(b) + 1)
    steps = np.arange(len(b) + 1)
    for number, character in enumerate(a, 1):
        changed = row[:-1] + (second != ord(character))
        best = np.minimum(row[1:] + 1, changed)
        best = np.concatenate([[number], best])
        row = np.minimum.accumulate(best - steps) + steps
    return int(row[-1])


@dataclass
class Score:
    """What was counted; all of these can be added."""

    cells: int = 0
    cells_right: int = 0
    items: int = 0
    items_right: int = 0
    headings: int = 0
    headings_right: int = 0
    characters: int = 0
    errors: int = 0
    wrong: list[str] = field(default_factory=list)

    def __add__(self, other: Score) -> Score:
        values = {name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__}
        return Score(**values)

    def row(self, name: str) -> dict[str, Any]:
        def share(right: int, of: int) -> str:
            return f"{100 * right / of:.2f} %" if of else ""

        return {
            "documents": name,
            "cells": share(self.cells_right, self.cells),
            "reading order": share(self.items_right, self.items),
            "levels": share(self.headings_right, self.headings),
            "character error": f"{100 * self.errors / self.characters:.2f} %" if self.characters else "",
        }


def compared(truth: list[Block], found: list[Block], *, read: bool = False, only: type[Block] | None = None) -> Score:
    """How much of a document is as it should be.

    Args:
        truth: Its blocks.
        found: What was read.
        read: Whether it is a scan: then texts need be alike only, and their characters are compared.
        only: What the file could hold.
    """
    score = Score()
    if only is not None:
        truth = [block for block in truth if isinstance(block, only)]
    goal, told = items_of(truth), items_of(found)
    pairs = matched(goal, told, 0.8 if read else 1.0)
    score.items, score.items_right = max(len(goal), len(told)), len(pairs)
    by_goal = dict(pairs)
    for number, (kind, text, level) in enumerate(goal):
        if kind == "heading":
            score.headings += 1
            right = number in by_goal and told[by_goal[number]][0] == "heading" and told[by_goal[number]][2] == level
            score.headings_right += right
            if not right:
                score.wrong.append(f"level {level}: {text!r} is {told[by_goal[number]] if number in by_goal else None}")
        if number not in by_goal:
            score.wrong.append(f"{kind} not in its place: {text[:100]!r}")
    taken = set(by_goal.values())
    score.wrong += [f"not in the document: {item[1][:100]!r}" for n, item in enumerate(told) if n not in taken]
    _compare_tables(
        [b for b in truth if isinstance(b, Table)], [b for b in found if isinstance(b, Table)], score, read=read
    )
    if read:
        a = "\n".join(text for _, text, _ in goal)
        b = "\n".join(text for _, text, _ in told)
        score.characters, score.errors = len(a), distance(a, b)
    return score


def items_of(blocks: Iterable[Block]) -> list[tuple[str, str, int]]:
    """Blocks as kind, text and level; each item of a list by itself."""
    found: list[tuple[str, str, int]] = []
    for block in blocks:
        if isinstance(block, Heading):
            found.append(("heading", plain(block.text), block.level))
        elif isinstance(block, Paragraph):
            found.append(("paragraph", plain(block.text), 0))
        elif isinstance(block, Bullets):
            found += [("item", plain(text), 0) for _, text in block.items]
        elif isinstance(block, Table):
            told = (block.caption, *block.rows[-1])
            found.append(("table", " ".join(plain(text) for text in told if text), 0))
        elif isinstance(block, Figure) and (block.caption or block.text):
            found.append(("figure", plain(f"{block.caption} {block.text}"), 0))
    return found


def matched(goal: list[tuple[str, str, int]], told: list[tuple[str, str, int]], alike: float) -> list[tuple[int, int]]:
    """Items of one list that are in the other too, in the same order: the longest such list."""
    same = np.zeros((len(goal) + 1, len(told) + 1), np.int64)
    equal = np.zeros((len(goal), len(told)), bool)
    for i, (_, text, _) in enumerate(goal):
        for j, (_, other, _) in enumerate(told):
            equal[i, j] = text == other or (
                alike < 1
                and abs(len(text) - len(other)) <= (1 - alike) * len(text) + 2
                and distance(text, other) <= (1 - alike) * len(text) + 1
            )
    for i in range(len(goal) - 1, -1, -1):
        for j in range(len(told) - 1, -1, -1):
            same[i, j] = max(same[i + 1, j + 1] + equal[i, j], same[i + 1, j], same[i, j + 1])
    pairs, i, j = [], 0, 0
    while i < len(goal) and j < len(told):
        if equal[i, j] and same[i, j] == same[i + 1, j + 1] + 1:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif same[i + 1, j] >= same[i, j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def _compare_tables(goal: list[Table], told: list[Table], score: Score, *, read: bool) -> None:
    """Cells that are the same; a table that is not there has none."""
    left = list(told)
    for table in goal:

        def common(other: Table, table: Table = table) -> int:
            return sum(
                _same(a, b, read)
                for r, s in zip(table.rows, other.rows, strict=False)
                for a, b in zip(r, s, strict=False)
            )

        best = max(left, key=common, default=None)
        right = common(best) if best is not None else 0
        if best is not None and right:
            left.remove(best)
        size = len(table.rows) * len(table.rows[0])
        score.cells += max(size, len(best.rows) * len(best.rows[0])) if best is not None and right else size
        score.cells_right += right
        if right < size:
            score.wrong.append(
                f"table {table.rows[0]}: {right} of {size} cells; {None if best is None else best.rows[:3]}"
            )


def _same(a: str, b: str, read: bool) -> bool:
    a, b = plain(a), plain(b)
    return a == b or (read and a.replace(" ", "") == b.replace(" ", ""))
