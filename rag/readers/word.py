"""`word`: headings by their styles, paragraphs, lists, tables with merged cells, notes, and pictures by what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from rag.document import LEVELS, Block, Bullets, Figure, Heading, Paragraph, Place, Table
from rag.readers import ReaderConfig
from rag.readers._archive import check_archive, opened

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
DRAWN = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}docPr"
HEADING = re.compile(r"(?:heading|überschrift|titre|标题)\s*(\d)", re.IGNORECASE)
NUMBERED = re.compile(r"list number", re.IGNORECASE)
CAPTION = re.compile(r"^(?:table|tab\.|表)\s*\d+", re.IGNORECASE)


class Config(ReaderConfig):
    """Config of `word`."""

    endings: ClassVar[tuple[str, ...]] = (".docx", ".docm", ".dotx")

    type: Literal["word"] = "word"

    def read(self, path: Path) -> Iterator[Block]:
        """What it says. Macros are never looked at."""
        self.check(path)
        check_archive(path, "word/document.xml")
        document = opened(path, "docx", "python-docx", lambda docx: docx.Document(str(path)))
        notes = _notes(document)
        held: list[tuple[int, str]] = []
        numbered = False
        caption = ""
        for element in document.element.body.iterchildren():
            if element.tag == f"{W}tbl":
                yield from _bullets(held, numbered)
                held = []
                table = _table(element, caption)
                caption = ""
                if table is not None:
                    yield table
                continue
            if element.tag != f"{W}p":
                continue
            style = _style(document, element)
            text = _text(element, notes)
            level = _level(document, element, style)
            if text and level:
                yield from _bullets(held, numbered)
                held = []
                yield Heading(text, level)
            elif text and (depth := _depth(element, style)) is not None:
                numbered = numbered if held else bool(NUMBERED.search(style))
                held.append((depth, text))
            elif text:
                yield from _bullets(held, numbered)
                held = []
                if style.lower() == "caption" and CAPTION.match(text):
                    caption = text
                else:
                    yield Paragraph(text)
            yield from (Figure(name, place=Place()) for name in _pictures(element))
        yield from _bullets(held, numbered)


def _style(document: Any, element: Any) -> str:
    """The name of a paragraph's style."""
    found = element.find(f"{W}pPr/{W}pStyle")
    if found is None:
        return ""
    key = found.get(f"{W}val")
    styles = document.styles.element
    for style in styles.iterchildren(f"{W}style"):
        if style.get(f"{W}styleId") == key:
            name = style.find(f"{W}name")
            return "" if name is None else str(name.get(f"{W}val"))
    return str(key)


def _level(document: Any, element: Any, style: str) -> int:
    """The level of a heading; 0: it is none."""
    if style.lower() == "title":
        return 1
    if match := HEADING.match(style):
        return min(int(match.group(1)), LEVELS)
    outline = element.find(f"{W}pPr/{W}outlineLvl")
    level = int(outline.get(f"{W}val")) if outline is not None else LEVELS
    return level + 1 if level < LEVELS else 0


def _depth(element: Any, style: str) -> int | None:
    """How deep a paragraph is in a list; None: it is in none."""
    found = element.find(f"{W}pPr/{W}numPr/{W}ilvl")
    if found is not None:
        return int(found.get(f"{W}val"))
    if style.lower().startswith("list"):
        digits = re.search(r"(\d)$", style)
        return int(digits.group(1)) - 1 if digits else 0
    return None


def _text(element: Any, notes: dict[str, str]) -> str:
    """The words of a paragraph, without those that were deleted, and its notes in brackets."""
    words: list[str] = []
    for node in element.iter():
        if node.tag == f"{W}t" and not any(above.tag == f"{W}del" for above in node.iterancestors()):
            words.append(node.text or "")
        elif node.tag in (f"{W}tab", f"{W}br", f"{W}cr"):
            words.append(" ")
        elif node.tag == f"{W}footnoteReference" and (note := notes.get(str(node.get(f"{W}id")))):
            words.append(f" ({note})")
    return " ".join("".join(words).split())


def _notes(document: Any) -> dict[str, str]:
    """Footnotes by their ids."""
    from lxml import etree  # noqa: PLC0415 (comes with the extra)

    for relation in document.part.rels.values():
        if relation.reltype.endswith("/footnotes") and not relation.is_external:
            parser = etree.XMLParser(resolve_entities=False, no_network=True)
            root = etree.fromstring(relation.target_part.blob, parser)
            return {str(note.get(f"{W}id")): _text(note, {}) for note in root.iterchildren(f"{W}footnote")}
    return {}


def _pictures(element: Any) -> list[str]:
    """What the pictures of a paragraph are called."""
    told = (node.get("descr") or node.get("title") or "" for node in element.iter(DRAWN))
    return [name for name in told if name]


def _bullets(items: list[tuple[int, str]], numbered: bool) -> Iterator[Block]:
    if items:
        yield Bullets(tuple(items), numbered)


def _table(element: Any, caption: str) -> Table | None:
    """A table; a cell that spans several is in all of them."""
    rows: list[list[str]] = []
    above: dict[int, str] = {}
    for row in element.iterchildren(f"{W}tr"):
        cells: list[str] = []
        for cell in row.iterchildren(f"{W}tc"):
            span = cell.find(f"{W}tcPr/{W}gridSpan")
            merge = cell.find(f"{W}tcPr/{W}vMerge")
            text = " ".join(part for p in cell.iter(f"{W}p") if (part := _text(p, {})))
            if merge is not None and merge.get(f"{W}val") != "restart":
                text = above.get(len(cells), "")
            width = min(int(span.get(f"{W}val")), 1000) if span is not None else 1
            for _ in range(width):
                above[len(cells)] = text
                cells.append(text)
        rows.append(cells)
    width = max(map(len, rows), default=0)
    filled = tuple(tuple(row + [""] * (width - len(row))) for row in rows if any(row))
    if not filled:
        return None
    heads = [row.find(f"{W}trPr/{W}tblHeader") is not None for row in element.iterchildren(f"{W}tr")]
    header = next((number for number, head in enumerate(heads) if not head), len(heads))
    return Table(filled, min(max(header, 1), len(filled)), caption)
