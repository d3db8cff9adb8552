"""Pages as one document: what goes on in the next column or at the next page is whole again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from rag.document import Block, Bullets, Figure, Paragraph, Place, Table
from rag.pages.look import Said
from rag.pages.page import joined
from rag.pages.paragraphs import SPACE, Ends

FLOATS = 8
"""Tables and pictures, at most, that may stand amidst a paragraph."""
ENDS = re.compile(r"[.!?:。！？：…][\"'”’）)]*$")
"""The end of a text that is complete."""


@dataclass
class _Open:
    """A block that may go on.

    Attributes:
        block: As far as it is known.
        last: Where its last part stands.
        ended: How that ended.
    """

    block: Block
    last: Place
    ended: Ends | None


def whole(pages: Iterable[Said]) -> Iterator[Block]:
    """Tables and paragraphs that go on in the next column or at the next page are one.

    Footnotes come after them, and so do tables and pictures that stand at the top or the end of a page amidst a paragraph.
    """
    held: _Open | None = None
    waiting: list[Block] = []  # comes after what is held
    aside: _Open | None = None  # the last table of them, which may go on too
    for said in pages:
        for block in said.blocks:
            begun = said.ends.get(id(block))
            fresh = _Open(block, block.place, begun)
            if held is None:
                held = fresh
                continue
            floats = sum(isinstance(one, Table | Figure) for one in waiting)
            more = _with_more(held, block, begun, parted=floats > 0)
            if more is not None:
                held = replace(fresh, block=more)
                continue
            if aside is not None and (more := _with_more(aside, block, begun)) is not None:
                waiting[[id(one) for one in waiting].index(id(aside.block))] = more
                aside = replace(fresh, block=more)
                continue
            if floats < FLOATS and _may_part(held, block):
                waiting.append(block)
                aside = fresh if isinstance(block, Table) else None
                continue
            yield held.block
            yield from waiting
            held, waiting, aside = fresh, [], None
        waiting += said.notes
        if held is not None and not isinstance(held.block, Paragraph | Table | Bullets):
            yield held.block
            held = None
        if held is None:
            yield from waiting
            waiting, aside = [], None
    if held is not None:
        yield held.block
    yield from waiting


def _may_part(held: _Open, block: Block) -> bool:
    """Whether something may stand amidst a text: a table, or a picture, at the end of its page or at the top of the next one."""
    if not isinstance(held.block, Paragraph | Bullets) or not isinstance(block, Table | Figure):
        return False
    if held.last.page is None or block.place.page is None:
        return False
    return block.place.page <= held.last.page + 1


def _with_more(held: _Open, block: Block, begun: Ends | None, *, parted: bool = False) -> Block | None:
    """What is held with a block that is the rest of it, or a part; None: it is something else.

    Args:
        held: What may go on.
        block: What comes next.
        begun: How that begins.
        parted: Whether a table, or a picture, stands between them.
    """
    own = held.block
    if isinstance(own, Table) and isinstance(block, Table) and _table_goes_on(own, held.last, block):
        head = own.rows[: own.header]
        rows = block.rows[block.header :] if block.rows[: block.header] == head else block.rows
        # A row that the end of a page divides may leave nothing but its rules there.
        kept = own.rows if any(own.rows[-1]) else own.rows[:-1]
        return replace(own, rows=kept + (rows if any(rows[:1] and rows[0]) else rows[1:]))
    if isinstance(own, Paragraph) and isinstance(block, Paragraph):
        # Where paragraphs are indented one that is not is the rest of another, whatever stands between them.
        sure = not parted or not ENDS.search(own.text) or (held.ended is not None and held.ended.indented)
        if sure and _text_goes_on(own, held.last, held.ended, block, begun):
            return replace(own, text=joined([own.text, block.text]))
    elif isinstance(own, Bullets) and isinstance(block, Paragraph):
        if _item_goes_on(own, held.last, held.ended, block, begun):
            depth, text = own.items[-1]
            return replace(own, items=(*own.items[:-1], (depth, joined([text, block.text]))))
    elif isinstance(own, Bullets) and isinstance(block, Bullets) and not parted:  # noqa: SIM102 (as the others)
        if _list_goes_on(own, held.last, block, begun):
            return replace(own, items=own.items + block.items)
    return None


def _table_goes_on(held: Table, last: Place, block: Table) -> bool:
    """Whether a table is the rest of one at the end of the page, or of the column, before."""
    if last.page is None or block.place.page is None or last.box is None or block.place.box is None:
        return False
    left, top, right, _ = block.place.box
    wide = abs((right - left) - (last.box[2] - last.box[0])) < 0.02
    next_page = last.page + 1 == block.place.page and last.box[3] > 0.5
    next_column = last.page == block.place.page and left >= last.box[2] - 0.02 and top < last.box[3]
    begins = top < 0.25 if next_page else next_column
    return wide and begins and len(held.rows[0]) == len(block.rows[0]) and not block.caption


def _text_goes_on(held: Paragraph, last: Place, ended: Ends | None, block: Paragraph, begun: Ends | None) -> bool:
    """Whether a paragraph is the rest of one at the end of the page, or of the column, before."""
    if last.page is None or block.place.page is None or last.box is None or block.place.box is None:
        return False
    next_column = block.place.page == last.page and block.place.box[0] > last.box[2] - 0.02
    if not next_column and block.place.page != last.page + 1:
        return False
    # Where the last line has no room for the next word it was the end of the column that broke it, most probably.
    if ended is not None and begun is not None and not begun.indented and ended.room <= begun.word + SPACE * ended.line:
        return True
    ends = ENDS.search(held.text)
    return not ends and not block.text[:1].isupper()


def _item_goes_on(held: Bullets, last: Place, ended: Ends | None, block: Paragraph, begun: Ends | None) -> bool:
    """Whether a paragraph is the rest of the last item of a list at the end of the page, or of the column, before."""
    if ENDS.search(held.items[-1][1]):
        return False
    return _text_goes_on(Paragraph(held.items[-1][1]), last, ended, block, begun)


def _list_goes_on(held: Bullets, last: Place, block: Bullets, begun: Ends | None) -> bool:
    """Whether a list is the rest of one at the end of the page, or of the column, before."""
    if last.page is None or block.place.page is None or last.box is None or block.place.box is None:
        return False
    next_column = block.place.page == last.page and block.place.box[0] > last.box[2] - 0.02
    next_page = block.place.page == last.page + 1 and last.box[3] > 0.5
    if not (next_column or next_page) or held.numbered != block.numbered:
        return False
    return begun is None or not begun.first
