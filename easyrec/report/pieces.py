"""What pages are made of: no script, nothing from outside, every text escaped by the tree it is in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

STYLE = Path(__file__).with_name("style.css")
NAME = 40
"""Letters of the longest text in a table that stays on one line."""


def document(title: str) -> tuple[Element, Element]:
    """A page without content: its root, and where content goes."""
    root = Element("html", {"lang": "en"})
    head = SubElement(root, "head")
    SubElement(head, "meta", {"charset": "utf-8"})
    SubElement(head, "meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"})
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": policy})
    SubElement(head, "title").text = title
    SubElement(head, "style").text = STYLE.read_text(encoding="utf-8")
    return root, SubElement(SubElement(root, "body"), "main")


def html(root: Element) -> str:
    """A page as text."""
    return "<!DOCTYPE html>\n" + tostring(root, encoding="unicode", method="html") + "\n"


def add_section(main: Element, title: str, kind: str) -> Element:
    """A section with a title; gives where its content goes."""
    section = SubElement(main, "section")
    SubElement(section, "h2").text = title
    return SubElement(section, "div", {"class": kind})


def add_card(cards: Element, title: str) -> Element:
    """A card with a title."""
    card = SubElement(cards, "div", {"class": "card"})
    SubElement(card, "h3").text = title
    return card


def add_tile(tiles: Element, name: str, value: str) -> None:
    """A number that stands out."""
    tile = SubElement(tiles, "div", {"class": "tile"})
    SubElement(tile, "div", {"class": "name"}).text = name
    SubElement(tile, "div", {"class": "value"}).text = value


def add_legend(card: Element, names: Sequence[str]) -> None:
    """The names of the first lines of a chart, with their colours."""
    legend = SubElement(card, "div", {"class": "legend"})
    for index, name in enumerate(names):
        entry = SubElement(legend, "span")
        key = SubElement(entry, "i", {"class": f"key s{index % 6}"})
        key.text, key.tail = "", name


def add_table(card: Element, head: Sequence[str], rows: Iterable[Sequence[str]], text: int) -> Element:
    """A table whose first `text` columns are words and whose others are numbers; long texts are broken into lines."""
    table = SubElement(SubElement(card, "div", {"class": "scroll"}), "table")
    if head:
        line = SubElement(table, "tr")
        for index, name in enumerate(head):
            SubElement(line, "th", {"class": "n"} if index >= text else {}).text = name
    for row in rows:
        line = SubElement(table, "tr")
        for index, value in enumerate(row):
            kind = "n" if index >= text else "name" if len(value) <= NAME else "long"
            SubElement(line, "td", {"class": kind}).text = value
    return table


def duration(seconds: float) -> str:
    """A time as people say it: 0.8 s, 42 s, 3 min 20 s, 1 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
