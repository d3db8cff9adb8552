"""What tables and pictures are called, above or below them."""

from __future__ import annotations

import re
from dataclasses import replace

from rag.document import Block, Figure, Paragraph, Table

LONGEST = 300
"""Characters of a caption."""
NUMBER = r"(?:[A-Z]?[\d.]*\d|[IVX]+\b|[一二三四五六七八九十]+|[:：])"
CAPTION = re.compile(rf"^(?:table|tab\.|表|表格)\s*{NUMBER}", re.IGNORECASE)
FIGURE = re.compile(rf"^(?:figure|fig\.|图|图表)\s*{NUMBER}", re.IGNORECASE)


def is_caption(line: str) -> bool:
    """Whether a line begins one."""
    return bool(CAPTION.match(line) or FIGURE.match(line))


def with_captions(blocks: list[Block]) -> list[Block]:
    """Tables and pictures with what stands above or below them and calls itself their caption."""
    taken: set[int] = set()
    for number, block in enumerate(blocks):
        if not isinstance(block, Table | Figure):
            continue
        # What tables are called stands above them for the most part, and below pictures.
        looks, near = (CAPTION, (-1, 1)) if isinstance(block, Table) else (FIGURE, (1, -1))
        for other in (number + step for step in near):
            told = blocks[other] if 0 <= other < len(blocks) else None
            after = blocks[other + 1] if other + 1 < len(blocks) else None
            if isinstance(block, Table) and other > number and isinstance(after, Table):
                continue  # it stands above the next one
            if (
                isinstance(told, Paragraph)
                and other not in taken
                and len(told.text) < LONGEST
                and looks.match(told.text)
            ):
                blocks[number] = replace(block, caption=told.text)
                taken.add(other)
                break
    kept = [block for number, block in enumerate(blocks) if number not in taken]
    return [block for block in kept if not isinstance(block, Figure) or block.caption or block.text]
