"""What chunkers share: tables, lists, code and figures in parts that fit, and the running text of a section."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from rag.chunkers import LETTERS_PER_TOKEN, PIECES, Chunk, figure_of, packed, pieces, tokens_in
from rag.document import Block, Body, Bullets, Code, Figure, Paragraph, Place, Table, with_headings

BETWEEN = "\n\n"
"""Stands between the blocks of a running text."""


def parts_of(block: Body, size: int) -> Iterator[tuple[str, str]]:
    """A block in parts of at most so many tokens, with their kinds; a row is never cut, and a header is above each part."""
    if isinstance(block, Paragraph):
        yield from (("text", part) for part in pieces(block.text, size))
    elif isinstance(block, Bullets):
        yield from (("text", part) for part in packed(_fitting(_items(block), size), size, "\n"))
    elif isinstance(block, Table):
        yield from (("table", told(part)) for part in tables_of(block, size))
    elif isinstance(block, Code):
        yield from (("code", part) for part in packed(_fitting(block.text.split("\n"), size), size, "\n"))
    elif isinstance(block, Figure):
        text = "\n".join(part for part in (block.caption, block.text) if part)
        yield from (("figure", part) for part in pieces(text, size))


def tables_of(table: Table, size: int) -> Iterator[Table]:
    """A table in parts that fit, each with the caption and the header."""
    room = max(1, size - tokens_in(told(replace(table, rows=table.rows[: table.header]))))
    held: list[tuple[str, ...]] = []
    left = room
    for row in table.rows[table.header :]:
        count = tokens_in(_row(row))
        if held and count > left:
            yield replace(table, rows=(*table.rows[: table.header], *held))
            held, left = [], room
        held.append(row)
        left -= count
    if held or table.header or table.caption:
        yield replace(table, rows=(*table.rows[: table.header], *held))


def _fitting(lines: Iterable[str], size: int) -> Iterator[str]:
    """Lines, and too long ones in parts."""
    for line in lines:
        yield from [line] if tokens_in(line) <= size else pieces(line, size)


def told(table: Table) -> str:
    """A table as Markdown has it, below its caption."""
    rows = [_row(row) for row in table.rows]
    header, body = rows[: table.header], rows[table.header :]
    if header:
        header.append(_row(tuple("---" for _ in table.rows[0])))
    return "\n".join([*([table.caption] if table.caption else []), *header, *body])


def _items(bullets: Bullets) -> list[str]:
    """The lines of a list."""
    counts: dict[int, int] = {}
    lines: list[str] = []
    for depth, text in bullets.items:
        if not text.strip():
            continue
        counts = {level: count for level, count in counts.items() if level <= depth}
        counts[depth] = counts.get(depth, 0) + 1
        mark = f"{counts[depth]}." if bullets.numbered and depth == 0 else "-"
        lines.append(f"{'  ' * min(depth, 20)}{mark} {text}")
    return lines


def _row(cells: tuple[str, ...]) -> str:
    """A row as Markdown has it."""
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


@dataclass
class Run:
    """The running text of a section, up to what is no text.

    Attributes:
        path: The headings above it.
        text: Its blocks, with empty lines between them.
        begins: Where each block begins in it.
        places: Where each stands in the document.
    """

    path: tuple[str, ...]
    text: str = ""
    begins: list[int] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)

    def chunk(self, start: int, end: int, context: str | None = None) -> Chunk:
        """What stands between two places of the text."""
        ends = [*self.begins[1:], len(self.text) + 1]
        places = (p for p, a, b in zip(self.places, self.begins, ends, strict=True) if a < end and b > start)
        return Chunk(self.text[start:end].strip(), self.path, tuple(dict.fromkeys(places)), "text", context)


Other: TypeAlias = Callable[[Body], Iterable[tuple[str, str, str | None]]]
"""Parts of what is no running text: of each the kind, what is found and what is read in its place."""


def runs(blocks: Iterable[Block], size: int, other: Other | None = None) -> Iterator[Run | Chunk]:
    """Running texts, and what stands among them and is no text in parts that fit.

    Args:
        blocks: A document.
        size: Tokens of a part of what is no running text.
        other: Cuts that otherwise.
    """
    cut = other or (lambda block: ((kind, part, None) for kind, part in parts_of(block, size)))
    path: tuple[str, ...] = ()
    texts: list[str] = []
    places: list[Place] = []

    def run() -> Iterator[Run]:
        if texts:
            begins, at = [], 0
            for text in texts:
                begins.append(at)
                at += len(text) + len(BETWEEN)
            yield Run(path, BETWEEN.join(texts), begins, list(places))
        texts.clear()
        places.clear()

    for above, block in with_headings(blocks):
        text = isinstance(block, Paragraph | Bullets)
        if above != path or not text:
            yield from run()
            path = above
        if isinstance(block, Paragraph | Bullets):
            words = block.text if isinstance(block, Paragraph) else "\n".join(_items(block))
            if words.strip():
                texts.append(words.strip())
                places.append(block.place)
            continue
        figure = figure_of(block) if isinstance(block, Figure) else None
        for kind, part, context in cut(block):
            yield Chunk(part, above, (block.place,), kind, context, figure)
    yield from run()


def spans_of(sentences: Iterable[str], size: int) -> list[tuple[int, int, int]]:
    """Where sentences begin and end in the text that they are, with their tokens; too long ones in parts between words."""
    found: list[tuple[int, int, int]] = []
    at = 0
    for sentence in sentences:
        count = tokens_in(sentence)
        if count <= size:
            if count:
                found.append((at, at + len(sentence), count))
        else:
            tokens = tokens_of(sentence)
            start = 0
            while start < len(tokens):
                end = word_before(tokens, start, min(start + size, len(tokens)))
                last = len(sentence) if end == len(tokens) else tokens[end][0]
                found.append((at + tokens[start][0], at + last, end - start))
                start = end
        at += len(sentence)
    return found


def tokens_of(text: str) -> list[tuple[int, bool]]:
    """Where each token of a text begins, and whether a word begins there."""
    found: list[tuple[int, bool]] = []
    for match in PIECES.finditer(text):
        found += [(at, at == match.start()) for at in range(match.start(), match.end(), LETTERS_PER_TOKEN)]
    return found


def word_before(tokens: list[tuple[int, bool]], start: int, end: int) -> int:
    """The last place up to `end` where a word begins; `end` where there is none behind `start`."""
    if end >= len(tokens):
        return len(tokens)
    return next((at for at in range(end, start, -1) if tokens[at][1]), end)


def packed_spans(spans: Sequence[tuple[int, int, int]], size: int) -> Iterator[Sequence[tuple[int, int, int]]]:
    """Neighbours together as long as they fit."""
    first, room = 0, size
    for number, (_, _, count) in enumerate(spans):
        if number > first and count > room:
            yield spans[first:number]
            first, room = number, size
        room -= count
    if spans:
        yield spans[first:]
