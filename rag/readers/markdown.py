"""`markdown`: headings, lists, tables, code and pictures as CommonMark and GitHub have them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import unquote

from easyrec.errors import MissingExtra
from rag.document import Block, Bullets, Code, Figure, Heading, Paragraph, Place, Table
from rag.readers._reading import PictureConfig, Reading
from rag.readers.html import blocks_of, picture_in

FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
"""What some tools write before the text."""
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
LARGEST = 32 << 20
"""Bytes of a picture's file."""


class Config(PictureConfig):
    """Config of `markdown`."""

    endings: ClassVar[tuple[str, ...]] = (".md", ".markdown")

    type: Literal["markdown"] = "markdown"

    def read(self, path: Path) -> Iterator[Block]:
        """What it says."""
        text = self.text_of(path)
        front = FRONT.match(text)
        skipped = front.group(0).count("\n") if front else 0
        tokens = _parser().parse(text[front.end() :] if front else text)
        yield from _Blocks(tokens, skipped, Reading(self, path)).all()


class _Blocks:
    """Blocks out of the parser's tokens."""

    def __init__(self, tokens: list[Any], skipped: int, reading: Reading) -> None:
        self._tokens, self._skipped, self._at, self._reading = tokens, skipped, 0, reading

    def all(self) -> Iterator[Block]:
        """All of them."""
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            place = Place(line=token.map[0] + 1 + self._skipped) if token.map else Place()
            if token.type == "heading_open":
                text, _ = _inline(self._tokens[self._at])
                if text:
                    yield Heading(text, int(token.tag[1]), place)
                self._until("heading_close")
            elif token.type == "paragraph_open":
                yield from self._paragraph(self._tokens[self._at], place)
                self._until("paragraph_close")
            elif token.type in ("fence", "code_block") and token.content.strip():
                yield Code(token.content.rstrip("\n"), place)
            elif token.type in ("bullet_list_open", "ordered_list_open"):
                yield from self._bullets(token, place)
            elif token.type == "table_open":
                yield self._table(place)
            elif token.type == "html_block":
                yield from blocks_of(token.content, self._reading)

    def _until(self, kind: str) -> None:
        while self._tokens[self._at].type != kind:
            self._at += 1
        self._at += 1

    def _bullets(self, first: Any, place: Place) -> Iterator[Block]:
        """A list with the lists in it; code and tables in its items follow it."""
        items: list[tuple[int, str]] = []
        after: list[Block] = []
        depth, fresh = 1, False
        while depth:
            token = self._tokens[self._at]
            self._at += 1
            if token.type in ("bullet_list_open", "ordered_list_open"):
                depth += 1
            elif token.type in ("bullet_list_close", "ordered_list_close"):
                depth -= 1
            elif token.type == "list_item_open":
                fresh = True
            elif token.type == "inline":
                text, _ = _inline(token)
                if fresh or not items:
                    items.append((depth - 1, text))
                elif text:
                    items[-1] = (items[-1][0], f"{items[-1][1]} {text}".strip())
                fresh = False
            elif token.type in ("fence", "code_block"):
                after.append(Code(token.content.rstrip("\n"), place))
            elif token.type == "table_open":
                after.append(self._table(place))
        if kept := tuple(item for item in items if item[1]):
            yield Bullets(kept, first.type == "ordered_list_open", place)
        yield from after

    def _table(self, place: Place) -> Table:
        rows: list[list[str]] = []
        while (token := self._tokens[self._at]).type != "table_close":
            self._at += 1
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(_inline(token)[0])
        self._at += 1
        return Table(tuple(map(tuple, rows)), 1, "", place)

    def _paragraph(self, token: Any, place: Place) -> Iterator[Block]:
        """A paragraph with its pictures, or the pictures that it is made of."""
        text, pictures = _inline(token)
        only = all(child.type == "image" or not (child.content or "").strip() for child in token.children or [])
        if text and not (pictures and only):
            yield Paragraph(text, place)
        for told, address in pictures:
            content = picture_in(address) or self._file(address)
            figure = self._reading.figure(content, told, place) if content is not None else None
            if figure is not None and (only or figure.text):
                yield figure
            elif figure is None and only and told:
                yield Figure(told, place=place)

    def _file(self, address: str) -> bytes | None:
        """A picture beside the file, or below its folder; nothing else is opened."""
        if not address or "://" in address or address.startswith(("/", "\\", "#", "data:")):
            return None
        folder = self._reading.path.parent
        try:
            whole = (folder / unquote(address.partition("?")[0].partition("#")[0])).resolve()
            if not whole.is_relative_to(folder.resolve()) or not whole.is_file():
                return None
            if whole.suffix.lower() not in PICTURES or whole.stat().st_size > LARGEST:
                return None
            return whole.read_bytes()
        except (OSError, ValueError):
            return None


def _inline(token: Any) -> tuple[str, list[tuple[str, str]]]:
    """Words without their marks, and pictures among them by what they are called and where they are."""
    words: list[str] = []
    pictures: list[tuple[str, str]] = []
    for child in token.children or []:
        if child.type in ("text", "code_inline"):
            words.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            words.append(" ")
        elif child.type == "image":
            pictures.append((child.content, str(child.attrs.get("src") or "")))
            words.append(child.content)
    return " ".join("".join(words).split()), pictures


def _parser() -> Any:
    """The parser.

    Raises:
        MissingExtra: The package markdown-it-py is not installed.
    """
    try:
        from markdown_it import MarkdownIt  # noqa: PLC0415 (an extra)
    except ImportError:
        raise MissingExtra("markdown-it-py", "rag") from None
    return MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough")
