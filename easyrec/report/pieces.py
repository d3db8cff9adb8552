"""What pages of reports are made of: no script, nothing from outside, every text escaped by the tree it is in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

STYLE = Path(__file__).with_name("style.css")


def document(title: str) -> tuple[Element, Element]:
    """A page without content, and the element that takes it."""
    root = Element("html", {"lang": "en"})
    head = SubElement(root, "head")
    SubElement(head, "meta", {"charset": "utf-8"})
    SubElement(head, "meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"})
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": policy})
    SubElement(head, "title").text = title
    SubElement(head, "style").text = STYLE.read_text(encoding="utf-8")
    return root, SubElement(SubElement(root, "body"), "main")


def section(main: Element, title: str, kind: str) -> Element:
    """Part of the page under a title; gives what takes its content."""
    part = SubElement(main, "section")
    SubElement(part, "h2").text = title
    return SubElement(part, "div", {"class": kind})


def card(cards: Element, title: str) -> Element:
    """A card under a title."""
    made = SubElement(cards, "div", {"class": "card"})
    SubElement(made, "h3").text = title
    return made


def tile(tiles: Element, name: str, value: str) -> None:
    """One figure and its name."""
    made = SubElement(tiles, "div", {"class": "tile"})
    SubElement(made, "div", {"class": "name"}).text = name
    SubElement(made, "div", {"class": "value"}).text = value


def legend(card: Element, names: Sequence[str]) -> None:
    """The names of lines in their colours."""
    listed = SubElement(card, "div", {"class": "legend"})
    for index, name in enumerate(names):
        entry = SubElement(listed, "span")
        key = SubElement(entry, "i", {"class": f"key s{index % 6}"})
        key.text, key.tail = "", name


def table(card: Element, head: Sequence[str], rows: Iterable[Sequence[str]], text: int) -> Element:
    """A table whose first `text` columns are words and whose others are numbers."""
    made = SubElement(SubElement(card, "div", {"class": "scroll"}), "table")
    if head:
        line = SubElement(made, "tr")
        for index, name in enumerate(head):
            SubElement(line, "th", {"class": "n"} if index >= text else {}).text = name
    for row in rows:
        line = SubElement(made, "tr")
        for index, value in enumerate(row):
            SubElement(line, "td", {"class": "n" if index >= text else "name"}).text = value
    return made
