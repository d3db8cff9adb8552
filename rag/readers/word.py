"""`word`: headings by styles and outline, lists, tables with merged cells, notes, text boxes, and pictures with what is read in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from rag.document import LEVELS, Block, Bullets, Figure, Heading, Paragraph, Place, Table
from rag.pages.captions import CAPTION, FIGURE
from rag.readers._archive import check_archive, opened
from rag.readers._reading import PictureConfig, Reading

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
MATHS = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
DRAWN = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}docPr"
BLIP = "{http://schemas.openxmlformats.org/drawingml/2006/main}blip"
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
UNREAD = frozenset({f"{W}del", f"{W}moveFrom", f"{W}txbxContent", f"{W}pPr", f"{W}rPr", FALLBACK})
"""What was deleted or moved away, and what is read by itself."""
WRAPPERS = frozenset(f"{W}{name}" for name in ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag"))
HEADING = re.compile(r"(?:heading|überschrift|titre|标题)\s*(\d)", re.IGNORECASE)
CONTENTS = re.compile(r"(?:toc|目录)\s*\d", re.IGNORECASE)
DEEPEST = 40
"""Levels of styles upon styles, and of wrappers inside of each other."""


class Config(PictureConfig):
    """Config of `word`."""

    endings: ClassVar[tuple[str, ...]] = (".docx", ".docm", ".dotx")

    type: Literal["word"] = "word"

    def read(self, path: Path) -> Iterator[Block]:
        """What it says. Macros are never looked at; headers, comments and what was deleted are left out."""
        self.check(path)
        check_archive(path, "word/document.xml")
        document = opened(path, "docx", "python-docx", lambda docx: docx.Document(str(path)))
        yield from _captioned(_Document(document, Reading(self, path)).blocks())


@dataclass
class _Style:
    """What matters of a style.

    Attributes:
        name: It.
        level: Of headings; 0: it is none.
        numbering: Its list and depth, if it has one.
    """

    name: str = ""
    level: int = 0
    numbering: tuple[str, int] | None = None


@dataclass
class _Items:
    """Items of a list that is being read."""

    items: list[tuple[int, str]] = field(default_factory=list)
    numbered: bool = False


class _Document:
    """A document that is open.

    Args:
        document: As the package has it.
        reading: Reads its pictures.
    """

    def __init__(self, document: Any, reading: Reading) -> None:
        self._document, self._reading = document, reading
        self._styles = _styles(document)
        self._numbered = _numbered(document)
        self._notes: dict[str, str] = {}  # notes have no notes
        self._notes = {f"{kind}{key}": text for kind in ("footnote", "endnote") for key, text in self._read(kind)}

    def blocks(self) -> Iterator[Block | tuple[str, str]]:
        """Its blocks, and captions as pairs of their style and text."""
        yield from self._blocks(self._document.element.body, 0)

    def _blocks(self, parent: Any, depth: int) -> Iterator[Block | tuple[str, str]]:
        held = _Items()
        for element in _flat(parent, 0):
            if element.tag == f"{W}tbl":
                yield from _bullets(held)
                held = _Items()
                table = self._table(element)
                if table is not None:
                    yield table
                continue
            style = self._style(element)
            if CONTENTS.match(style.name):
                continue
            text = self._text(element)
            level = _level(element, style)
            listed = self._listed(element, style)
            if text and listed is not None and not level:
                numbered, deep = listed
                if not held.items:
                    held.numbered = numbered
                held.items.append((deep, text))
            elif text:
                yield from _bullets(held)
                held = _Items()
                if level:
                    yield Heading(text, 0 if style.name.lower() == "title" else level)
                elif style.name.lower() == "caption" and (CAPTION.match(text) or FIGURE.match(text)):
                    yield ("table" if CAPTION.match(text) else "figure", text)
                else:
                    yield Paragraph(text)
            yield from self._figures(element)
            if depth < DEEPEST:
                for box in _outside(element, f"{W}txbxContent"):
                    yield from self._blocks(box, depth + 1)
        yield from _bullets(held)

    def _style(self, element: Any) -> _Style:
        found = element.find(f"{W}pPr/{W}pStyle")
        key = "" if found is None else str(found.get(f"{W}val"))
        return self._styles.get(key, _Style(key))

    def _listed(self, element: Any, style: _Style) -> tuple[bool, int] | None:
        """Whether a list has numbers, and how deep a paragraph is in it; None: it is in none."""
        own = _numbering(element)
        number = own if own is not None else style.numbering
        name = style.name.lower()
        digits = re.search(r"(\d)$", name) if name.startswith("list ") else None
        named = int(digits.group(1)) - 1 if digits else 0
        if number is not None and number[0] != "0":
            return self._numbered.get(number, "number" in name), number[1] or named
        return ("number" in name, named) if number is None and name.startswith("list ") else None

    def _text(self, element: Any) -> str:
        """The words of a paragraph, without those that were deleted or hidden, and its notes in brackets."""
        return " ".join("".join(self._words(element)).split())

    def _words(self, element: Any) -> Iterator[str]:
        for node in element:
            if node.tag in UNREAD or not isinstance(node.tag, str):
                continue
            if node.tag == f"{W}r" and _is_on(node.find(f"{W}rPr/{W}vanish")):
                continue
            if node.tag in (f"{W}t", MATHS):
                yield node.text or ""
            elif node.tag in (f"{W}tab", f"{W}br", f"{W}cr"):
                yield " "
            elif node.tag == f"{W}noBreakHyphen":
                yield "-"
            elif node.tag in (f"{W}footnoteReference", f"{W}endnoteReference"):
                note = self._notes.get(f"{node.tag[len(W) : -len('Reference')]}{node.get(f'{W}id')}")
                yield f" ({note})" if note else ""
            else:
                yield from self._words(node)

    def _read(self, kind: str) -> Iterator[tuple[str, str]]:
        """Notes with their ids."""
        from lxml import etree  # noqa: PLC0415 (comes with the extra)

        for relation in self._document.part.rels.values():
            if relation.reltype.endswith(f"/{kind}s") and not relation.is_external:
                parser = etree.XMLParser(resolve_entities=False, no_network=True)
                root = etree.fromstring(relation.target_part.blob, parser)
                for note in root.iterchildren(f"{W}{kind}"):
                    texts = (self._text(part) for part in note.iter(f"{W}p"))
                    yield str(note.get(f"{W}id")), " ".join(text for text in texts if text)

    def _figures(self, element: Any) -> Iterator[Figure]:
        """The pictures of a paragraph."""
        names = [node.get("descr") or node.get("title") or "" for node in _outside(element, DRAWN)]
        blips = [node.get(f"{R}embed") for node in _outside(element, BLIP)]
        for number in range(max(len(names), len(blips))):
            name = " ".join((names[number] if number < len(names) else "").split())
            part = self._document.part.related_parts.get(blips[number]) if number < len(blips) else None
            figure = self._reading.figure(part.blob, name, Place()) if part is not None else None
            if figure is not None:
                yield figure
            elif name:
                yield Figure(name)

    def _table(self, element: Any) -> Table | None:
        """A table; a cell that spans several is in all of them."""
        rows: list[list[str]] = []
        above: dict[int, str] = {}
        heads: list[bool] = []
        for row in _rows(element):
            cells: list[str] = []
            skipped = row.find(f"{W}trPr/{W}gridBefore")
            cells += [""] * (min(_number(skipped), WIDEST) if skipped is not None else 0)
            for cell in (cell for cell in _flat(row, 0, f"{W}tc")):
                span = cell.find(f"{W}tcPr/{W}gridSpan")
                merge = cell.find(f"{W}tcPr/{W}vMerge")
                text = " ".join(part for p in _outside(cell, f"{W}p") if (part := self._text(p)))
                if merge is not None and merge.get(f"{W}val") != "restart":
                    text = above.get(len(cells), "")
                for _ in range(min(_number(span), WIDEST) if span is not None else 1):
                    above[len(cells)] = text
                    cells.append(text)
                if len(cells) > WIDEST:
                    break
            if any(cells):
                rows.append(cells)
                heads.append(_is_on(row.find(f"{W}trPr/{W}tblHeader")))
        if not rows:
            return None
        width = max(map(len, rows))
        filled = tuple(tuple(row + [""] * (width - len(row))) for row in rows)
        header = next((number for number, head in enumerate(heads) if not head), len(heads))
        return Table(filled, min(max(header, 1), len(filled)))


WIDEST = 1000
"""Cells of a row."""


def _captioned(blocks: Iterator[Block | tuple[str, str]]) -> Iterator[Block]:
    """Tables and pictures with the captions above or below them; other captions are paragraphs."""
    held: Table | Figure | None = None
    caption: tuple[str, str] | None = None
    for block in blocks:
        if isinstance(block, tuple):
            kind = Table if block[0] == "table" else Figure
            if isinstance(held, kind) and (kind is Figure or not held.caption):
                yield replace(held, caption=block[1])
                held = None
                continue
            if caption is not None:
                yield Paragraph(caption[1])
            if held is not None:
                yield held
                held = None
            caption = block
            continue
        if held is not None:
            yield held
            held = None
        if caption is not None and isinstance(block, Table if caption[0] == "table" else Figure):
            yield replace(block, caption=caption[1])
            caption = None
            continue
        if caption is not None:
            yield Paragraph(caption[1])
            caption = None
        if isinstance(block, Table | Figure):
            held = block
        else:
            yield block
    if held is not None:
        yield held
    if caption is not None:
        yield Paragraph(caption[1])


def _flat(parent: Any, depth: int, *tags: str) -> Iterator[Any]:
    """Paragraphs and tables, also those in wrappers such as fields of forms."""
    wanted = tags or (f"{W}p", f"{W}tbl")
    for element in parent:
        if element.tag in wanted:
            yield element
        elif element.tag in WRAPPERS and depth < DEEPEST:
            yield from _flat(element, depth + 1, *tags)


def _rows(table: Any) -> Iterator[Any]:
    """Rows that were not deleted."""
    for row in _flat(table, 0, f"{W}tr"):
        if row.find(f"{W}trPr/{W}del") is None:
            yield row


def _outside(element: Any, tag: str) -> Iterator[Any]:
    """What is in an element, without what is in a text box or said a second time for old programs."""
    for node in element:
        if node.tag == tag:
            yield node
        elif node.tag not in UNREAD:
            yield from _outside(node, tag)


def _is_on(found: Any) -> bool:
    return found is not None and found.get(f"{W}val") not in ("0", "false", "off")


def _number(found: Any) -> int:
    value = str(found.get(f"{W}val"))
    return int(value) if value.isascii() and value.isdigit() and len(value) < 6 else 1


def _styles(document: Any) -> dict[str, _Style]:
    """Styles by their keys, with what they have from those that they are based on."""
    raw = {str(style.get(f"{W}styleId")): style for style in document.styles.element.iterchildren(f"{W}style")}
    return {key: _styled(raw, key, 0) for key in raw}


def _styled(raw: dict[str, Any], key: str, depth: int) -> _Style:
    element = raw[key]
    name = element.find(f"{W}name")
    based = element.find(f"{W}basedOn")
    above = str(based.get(f"{W}val")) if based is not None else ""
    parent = _styled(raw, above, depth + 1) if above in raw and depth < DEEPEST else _Style()
    told = "" if name is None else str(name.get(f"{W}val"))
    match = HEADING.match(told)
    outline = element.find(f"{W}pPr/{W}outlineLvl")
    level = parent.level
    if told.lower() == "title":
        level = 1
    elif match:
        level = min(int(match.group(1)), LEVELS)
    elif outline is not None:
        level = _outline(outline)
    return _Style(told, level, _numbering(element) or parent.numbering)


def _outline(found: Any) -> int:
    """A level out of an outline, where 9 is running text."""
    level = str(found.get(f"{W}val"))
    return int(level) + 1 if level.isdigit() and int(level) < LEVELS else 0


def _level(element: Any, style: _Style) -> int:
    """The level of a heading; 0: it is none."""
    outline = element.find(f"{W}pPr/{W}outlineLvl")
    return style.level if outline is None or style.level else _outline(outline)


def _numbering(element: Any) -> tuple[str, int] | None:
    """The list and the depth that a paragraph, or a style, has."""
    number = element.find(f"{W}pPr/{W}numPr/{W}numId")
    deep = element.find(f"{W}pPr/{W}numPr/{W}ilvl")
    if number is None and deep is None:
        return None
    depth = str(deep.get(f"{W}val")) if deep is not None else "0"
    return (str(number.get(f"{W}val")) if number is not None else ""), int(depth) if depth.isdigit() else 0


def _numbered(document: Any) -> dict[tuple[str, int], bool]:
    """Whether lists have numbers, by list and depth."""
    try:
        root = document.part.numbering_part.element
    except (KeyError, NotImplementedError):
        return {}
    kinds: dict[str, dict[int, bool]] = {}
    for entry in root.iterchildren(f"{W}abstractNum"):
        own = kinds.setdefault(str(entry.get(f"{W}abstractNumId")), {})
        for level in entry.iterchildren(f"{W}lvl"):
            form = level.find(f"{W}numFmt")
            place = str(level.get(f"{W}ilvl"))
            if form is not None and place.isdigit():
                own[int(place)] = form.get(f"{W}val") not in ("bullet", "none")
    found: dict[tuple[str, int], bool] = {}
    for entry in root.iterchildren(f"{W}num"):
        abstract = entry.find(f"{W}abstractNumId")
        if abstract is not None:
            own = kinds.get(str(abstract.get(f"{W}val")), {})
            found |= {(str(entry.get(f"{W}numId")), level): numbered for level, numbered in own.items()}
    return found


def _bullets(held: _Items) -> Iterator[Block]:
    if held.items:
        yield Bullets(tuple(held.items), held.numbered)
