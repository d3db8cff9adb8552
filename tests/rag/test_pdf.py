"""The reader of PDF files, against files made here, whose content is known."""

import contextlib
import time

import pytest

from easyrec.errors import DataError
from rag.document import Bullets, Figure, Heading, Paragraph, Place, Table
from rag.pages.captions import with_captions
from rag.pages.headed import headed_tables_of
from rag.pages.look import Look, Said
from rag.pages.marks import with_marks
from rag.pages.page import BODY, PICTURE, Box, Page, Span, joined
from rag.pages.paragraphs import Ends
from rag.pages.regions import Aligned, Region, _listed, regions_of
from rag.pages.running import Running
from rag.pages.striped import striped_tables_of
from rag.pages.whole import whole
from rag.readers import reader_of
from rag.readers._pdfium import Pdf
from rag.readers.pdf import Config

pytest.importorskip("pypdfium2")
platypus = pytest.importorskip("reportlab.platypus")

from reportlab.lib.pagesizes import A4  # noqa: E402 (needs what is asked for above)
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet  # noqa: E402
from reportlab.pdfbase import pdfmetrics  # noqa: E402
from reportlab.pdfbase.cidfonts import UnicodeCIDFont  # noqa: E402

LOOKS = getSampleStyleSheet()
GRID = [("GRID", (0, 0), (-1, -1), 0.7, "black")]
TEXTS = [
    f"This is paragraph {i}. It has words enough for some lines of a column, which goes on until it is full; then "
    f"comes the next sentence of {i}, and with it the end."
    for i in range(12)
]


def made(path, story, *, columns=1, password=None, page=None):
    width, height = A4
    frames = [
        platypus.Frame(56 + n * (width - 112) / columns, 70, (width - 112) / columns - 12 * (columns - 1), height - 140)
        for n in range(columns)
    ]
    template = platypus.PageTemplate(frames=frames, onPage=page or (lambda *_: None))
    platypus.BaseDocTemplate(str(path), pagesize=A4, pageTemplates=[template], encrypt=password).build(story)
    return path


def read(path):
    return list(reader_of(path).read(path))


def plain(blocks):
    kinds = {Heading: lambda b: ("h", b.level, b.text), Paragraph: lambda b: b.text, Bullets: lambda b: b.items}
    return [kinds[type(block)](block) if type(block) in kinds else block.rows for block in blocks]


def paragraph(text, look="BodyText"):
    return platypus.Paragraph(text, LOOKS[look] if isinstance(look, str) else look)


def test_headings_and_paragraphs_of_one_column(tmp_path):
    story = [
        paragraph("Handbook", "Heading1"), paragraph(TEXTS[0]), paragraph("Refunds", "Heading2"), paragraph(TEXTS[1]),
        paragraph(TEXTS[2]), paragraph("By card", "Heading3"), paragraph(TEXTS[3]), paragraph("Holidays", "Heading1"),
        paragraph(TEXTS[4]),
    ]  # fmt: skip
    assert plain(read(made(tmp_path / "a.pdf", story))) == [
        ("h", 1, "Handbook"), TEXTS[0], ("h", 2, "Refunds"), TEXTS[1], TEXTS[2], ("h", 3, "By card"), TEXTS[3],
        ("h", 1, "Holidays"), TEXTS[4],
    ]  # fmt: skip


def test_two_columns_are_read_one_after_the_other_over_pages(tmp_path):
    texts = [TEXTS[i % 12].replace("paragraph", f"item {i} of paragraph") for i in range(60)]
    path = made(tmp_path / "a.pdf", [paragraph(text) for text in texts], columns=2)
    assert plain(read(path)) == texts


def test_what_repeats_on_each_page_is_left_out(tmp_path):
    def page(canvas, document):
        canvas.drawString(200, 810, "Confidential handbook")
        canvas.drawString(280, 30, f"Page {document.page}")

    texts = [TEXTS[i % 12] for i in range(60)]
    assert plain(read(made(tmp_path / "a.pdf", [paragraph(text) for text in texts], page=page))) == texts


def test_a_table_with_merged_cells_and_a_caption(tmp_path):
    rows = [["Kind", "Days", ""], ["", "least", "most"], ["card", "3", "5"], ["transfer", "5", "7"], ["", "6", "9"]]
    spans = [("SPAN", (0, 0), (0, 1)), ("SPAN", (1, 0), (2, 0)), ("SPAN", (0, 3), (0, 4))]
    story = [
        paragraph(TEXTS[0]),
        paragraph("Table 1: How long it takes"),
        platypus.Table(rows, style=GRID + spans),
        paragraph(TEXTS[1]),
    ]
    before, table, after = read(made(tmp_path / "a.pdf", story))
    assert (before.text, after.text) == (TEXTS[0], TEXTS[1])
    assert (table.header, table.caption) == (2, "Table 1: How long it takes")
    assert table.rows == (
        ("Kind", "Days", "Days"),
        ("Kind", "least", "most"),
        ("card", "3", "5"),
        ("transfer", "5", "7"),
        ("transfer", "6", "9"),
    )


def test_a_table_over_pages_is_one(tmp_path):
    rows = [["Number", "Name"], *([str(i), f"product {i}"] for i in range(120))]
    story = [paragraph(TEXTS[0]), platypus.Table(rows, style=GRID, repeatRows=1), paragraph(TEXTS[1])]
    _, table, _ = read(made(tmp_path / "a.pdf", story))
    assert table.rows == tuple(map(tuple, rows))


LEVEL = [("LINEABOVE", (0, 0), (-1, 0), 1, "black"), ("VALIGN", (0, 0), (-1, -1), "MIDDLE")]
CELLS = [["Name of it", "Sold in June", "Price"]] + [
    [f"a product called {i} whose name is broken", f"2025-06-0{i}", f"{i}.50"] for i in range(1, 6)
]


def small_table(style, rows=CELLS):
    cells = [[paragraph(text) if text else "" for text in row] for row in rows]
    return platypus.Table(cells, colWidths=[110, 90, 60], style=style)


def test_rows_between_level_rules_may_have_several_lines(tmp_path):
    style = [*LEVEL, ("LINEBELOW", (0, 0), (-1, -1), 0.4, "grey")]
    (_, table, _) = read(made(tmp_path / "a.pdf", [paragraph(TEXTS[0]), small_table(style), paragraph(TEXTS[1])]))
    assert table.rows == tuple(map(tuple, CELLS))
    assert table.header == 1


def test_rows_with_grounds_may_have_several_lines(tmp_path):
    style = [*LEVEL[1:], ("ROWBACKGROUNDS", (0, 0), (-1, -1), ["lightgrey", "white"])]
    (_, table, _) = read(made(tmp_path / "a.pdf", [paragraph(TEXTS[0]), small_table(style), paragraph(TEXTS[1])]))
    assert table.rows == tuple(map(tuple, CELLS))


def test_cells_between_level_rules_may_be_merged(tmp_path):
    rows = [["Name", "Sold", ""], ["", "in June", "in July"], ["cup", "1", "2"], ["", "3", "4"], ["pot", "5", "6"]]
    style = [*LEVEL, ("SPAN", (0, 0), (0, 1)), ("SPAN", (1, 0), (2, 0)), ("SPAN", (0, 2), (0, 3))]
    style += [("LINEBELOW", (1, row), (2, row), 0.4, "grey") for row in (0, 2)]
    style += [("LINEBELOW", (0, row), (-1, row), 0.4, "grey") for row in (1, 3, 4)]
    (table,) = read(made(tmp_path / "a.pdf", [small_table(style, rows)]))
    assert table.rows == (
        ("Name", "Sold", "Sold"), ("Name", "in June", "in July"), ("cup", "1", "2"), ("cup", "3", "4"), ("pot", "5", "6"),
    )  # fmt: skip
    assert table.header == 2


def test_rules_above_and_below_text_make_no_table(tmp_path):
    def page(canvas, _):
        for y in (60, 785):
            canvas.line(50, y, 545, y)

    texts = [TEXTS[i % 12].replace("paragraph", f"item {i} of paragraph") for i in range(40)]
    blocks = read(made(tmp_path / "a.pdf", [paragraph(text) for text in texts], columns=2, page=page))
    assert [block.text for block in blocks] == texts


def test_a_table_without_rules(tmp_path):
    rows = [["Quarter", "Income", "Cost"], *([f"Q{i} 2025", str(i * 100), str(i * 60)] for i in range(1, 6))]
    story = [paragraph(TEXTS[0]), platypus.Table(rows, colWidths=[120, 80, 80]), paragraph(TEXTS[1])]
    _, table, _ = read(made(tmp_path / "a.pdf", story))
    assert table.rows == tuple(map(tuple, rows))


def test_a_list(tmp_path):
    items = platypus.ListFlowable([paragraph(TEXTS[0]), paragraph("short")], bulletType="bullet", start="•")
    (found,) = read(made(tmp_path / "a.pdf", [items]))
    assert found.items == ((0, TEXTS[0]), (0, "short"))


def test_a_list_that_goes_on_in_the_next_column_is_one(tmp_path):
    items = [f"The {i}th of many things that are told here, one by one, until the column ends." for i in range(40)]
    listed = platypus.ListFlowable([paragraph(text) for text in items], bulletType="bullet", start="\u2022")
    (block,) = read(made(tmp_path / "a.pdf", [listed], columns=2))
    assert [text for _, text in block.items] == items


def test_lines_at_the_head_and_the_foot_of_a_single_page_are_left_out(tmp_path):
    def page(canvas, _):
        canvas.setFont("Helvetica", 6)
        canvas.drawString(24, 820, "11/28/26, 6:53 AM")
        canvas.drawString(340, 820, "A page")
        canvas.drawString(24, 20, "https://shop.example/refunds")
        canvas.drawString(570, 20, "1/1")

    assert plain(read(made(tmp_path / "a.pdf", [paragraph(TEXTS[0])], page=page))) == [TEXTS[0]]


def test_what_is_left_of_a_divided_row_is_dropped():
    head = ("a", "b")
    first = Table((head, ("1", "2"), ("", "")), 1, "", Place(1, (0.1, 0.6, 0.5, 0.9)))
    rest = Table((head, ("3", "4")), 1, "", Place(2, (0.1, 0.1, 0.5, 0.4)))
    (table,) = whole([Said([first], [], {}), Said([rest], [], {})])
    assert table.rows == (head, ("1", "2"), ("3", "4"))


def test_chinese(tmp_path):
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    look = ParagraphStyle("zh", fontName="STSong-Light", fontSize=11, leading=16, wordWrap="CJK", spaceAfter=8)
    large = ParagraphStyle("zh1", parent=look, fontSize=20, leading=28)
    text = (
        "每个员工每年有三十天假期。假期需要提前两周申请，并且由经理批准。没有用完的假期可以带到下一年的三月底，之后就会作废。"
        * 2
    )
    story = [paragraph("员工手册", large), paragraph(text, look), paragraph(text, look)]
    assert plain(read(made(tmp_path / "a.pdf", story))) == [("h", 1, "员工手册"), text, text]


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.pdf"
    for content in (b"", b"%PDF-1.7\n%%EOF", b"no pdf at all" * 100):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.pdf: is damaged"):
            read(path)
    whole = made(path, [paragraph(TEXTS[0])]).read_bytes()
    made(path, [paragraph(TEXTS[0])], password="secret")
    with pytest.raises(DataError, match="closed by a password"):
        read(path)
    for end in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:end] + b"\0" * 20)
        with contextlib.suppress(DataError):
            read(path)
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"1 pages, and 0|max_bytes"):
        list(Config(max_bytes=100).read(path))


def test_lines_become_text():
    assert (
        joined(["a word that was di-", "vided", "and 2025-", "04 an e-", "mail"])
        == "a word that was divided and 2025-04 an e-mail"
    )
    assert joined(["退款需要", "五天。", "OK then"]) == "退款需要五天。 OK then"


def span(text, left, top, right=None):
    return Span(left, top, right or left + 5 * len(text), top + 10, text, [left + 5 * i for i in range(len(text))])


def test_regions_of_text_and_of_tables_without_rules():
    full = [span("x" * 80, 0, 0), span("x" * 80, 0, 12)]
    columns = [span("l" * 36, 0, 24 + 12 * i) for i in range(5)] + [span("r" * 36, 220, 24 + 12 * i) for i in range(5)]
    first, left, right, last = regions_of([*full, *columns, span("y" * 80, 0, 100)])
    assert {s.text[0] for s in first.spans} == {"x"}
    assert {s.text[0] for s in left.spans} == {"l"}
    assert {s.text[0] for s in right.spans} == {"r"}
    assert isinstance(last, Region)
    cells = [span(f"{r}{c}", 100 * c, 12 * r) for r in range(4) for c in range(3)]
    (table,) = regions_of(cells)
    assert isinstance(table, Aligned)
    assert [[cell[0].text for cell in row] for row in table.rows] == [[f"{r}{c}" for c in range(3)] for r in range(4)]
    assert regions_of([]) == []
    assert Page(1, 100.0, 100.0).place([Box(10, 20, 30, 140)]).box == (0.1, 0.2, 0.3, 1.0)


def test_marks_belong_to_the_lines_beside_them():
    other = [span("x" * 30, 0, 6.2 + 12 * i) for i in range(4)]  # half a line lower, in the column before
    own = [span("y" * 20, 230, 12 * i) for i in range(4)]
    marked = with_marks([*other, *own, Span(215, 23.5, 220, 32.5, "\u2022", [215])])
    assert [s.top for s in marked if s.text.startswith("\u2022")] == [24]
    assert len(marked) == 8


def test_a_line_broken_at_the_edge_of_a_column_belongs_to_it():
    left = [span("l" * 36, 0, 12 * i) for i in range(6)] + [span("m" * 36, 0, 82), span("m" * 9, 0, 94)]
    right = [span("r" * 36, 220, 12 * i) for i in range(6)]
    first, second, last = regions_of([*left, *right, span("y" * 80, 0, 130), span("y" * 80, 0, 142)])
    assert {s.text[0] for s in first.spans} == {"l", "m"}
    assert {s.text[0] for s in second.spans} == {"r"}
    assert {s.text[0] for s in last.spans} == {"y"}


def test_a_table_that_leaves_room_beside_it_cuts_columns_that_end_unequally():
    left = [span("l" * 36, 0, 12 * i) for i in range(10)] + [span("m" * 36, 0, 192 + 12 * i) for i in range(6)]
    right = [span("r" * 36, 220, 12 * i) for i in range(5)] + [span("s" * 36, 220, 192 + 12 * i) for i in range(6)]
    table = [span(BODY + "0", 0, 126 + 12 * i, 150) for i in range(5)]
    read = [s.text[0] for region in regions_of([*left, *right, *table]) for s in region.spans]
    assert list(dict.fromkeys(read)) == ["l", "r", BODY, "m", "s"]


def test_a_line_beside_the_end_of_the_other_column_may_be_the_last_one():
    left = [span("l" * 36, 0, top) for top in (0, 12, 24, 56)]
    right = [span("r" * 36, 220, 12 * i) for i in range(5)]
    assert [[s.text[0] for s in region.spans] for region in regions_of([*left, *right])] == [["l"] * 4, ["r"] * 5]


def test_a_number_that_no_list_reaches_begins_no_list(tmp_path):
    first = [
        "893. Level hands back what people had together that day.",
        "3. Level hands back what people had that day.",
    ]
    kinds = [type(read(made(tmp_path / "a.pdf", [paragraph(text)]))[0]) for text in first]
    assert kinds == [Paragraph, Bullets]


def test_wide_spaces_below_each_other_divide_no_paragraph():
    gaps = [s for i in range(3, 6) for s in (span("l" * 12, 0, 12 * i), span("k" * 21, 72, 12 * i))]
    left = [span("l" * 36, 0, 12 * i) for i in (0, 1, 2, 6, 7, 8)] + gaps
    right = [span("r" * 36, 220, 12 * i) for i in range(9)]
    assert [len(region.spans) for region in regions_of([*left, *right])] == [12, 9]


def test_a_table_needs_no_rule_but_that_under_its_header():
    rows = [["name", "sold", "price"], *([f"n{i}", f"{i}", f"{i}.5"] for i in range(4))]
    tops = (0, 18, 36, 66, 84)
    cells = [span(text, 100 * c, top) for top, row in zip(tops, rows, strict=True) for c, text in enumerate(row)]
    longer = [span("of two", 0, 47), span("x" * 60, 0, 110)]  # the second line of a cell, and text below
    page = Page(1, 400, 400, rules=[Box(0, 13, 300, 13.5)])
    (table,), rest = headed_tables_of(page, [*cells, *longer])
    assert table.cells == [*rows[:2], ["n1 of two", *rows[2][1:]], *rows[3:]]
    assert [s.text for s in rest] == ["x" * 60]
    lines = [span("x" * 36, left, 12 * i) for left in (0, 220) for i in range(9)]
    assert headed_tables_of(Page(1, 400, 400, rules=[Box(0, 11, 400, 11.5)]), lines) == ([], lines)


def test_tables_and_pictures_amidst_a_paragraph_come_after_it():
    def place(page, top, bottom):
        return Place(page, (0.1, top, 0.9, bottom))

    begun, rest = Paragraph("It begins and", place(1, 0.5, 0.8)), Paragraph("goes on.", place(2, 0.5, 0.6))
    figure, note = Figure("Figure 1", place=place(2, 0.1, 0.4)), Paragraph("1 A note", place(1, 0.9, 0.95))
    ends = {id(begun): Ends(2.0, 30.0, True, 10.0), id(rest): Ends(99.0, 30.0, False, 10.0)}
    read = list(whole([Said([begun], [note], ends), Said([figure, rest], [], ends)]))
    assert [getattr(block, "text", "") or block.caption for block in read] == [
        "It begins and goes on.",
        "1 A note",
        "Figure 1",
    ]
    other = Paragraph("Another one.", rest.place)
    ends[id(other)] = Ends(99.0, 30.0, True, 10.0)
    read = list(whole([Said([begun], [], ends), Said([figure, other], [], ends)]))
    assert read == [begun, figure, other]


def test_a_caption_between_two_tables_belongs_to_the_second():
    tables = [Table(((name, "b"), ("1", "2"))) for name in "xy"]
    first, second = with_captions([tables[0], Paragraph("Table 2: Sold"), tables[1]])
    assert (first.caption, second.caption) == ("", "Table 2: Sold")
    assert with_captions([tables[0], Paragraph("Table 1: Sold")])[0].caption == "Table 1: Sold"


def test_items_with_small_marks_at_the_end_of_a_page_are_no_footnotes():
    prose = [Span(50, 60 + 14 * i, 260, 71 + 14 * i, "w" * 42, [50.0] * 42, points=11) for i in range(50)]
    items = [Span(50, 770 + 14 * i, 200, 780 + 14 * i, f"{4 + i}. an item", [50.0] * 10, points=10) for i in range(2)]
    items.insert(0, Span(50, 756, 200, 767, "3. an item", [50.0] * 10, points=11))
    page = Page(1, 300, 842, [*prose[:49], *items])
    assert Look([page]).said(page).notes == []
    page = Page(1, 300, 842, [*prose[:49], *items[1:]])
    assert len(Look([page]).said(page).notes) == 2


def test_heads_that_change_are_told_by_the_numbers_of_their_pages():
    def page(number, *spans):
        return Page(number, 500, 800, [*spans, span("a line of text " * 4, 50, 300)])

    pages = [page(n, span(f"{116 + n}", 50, 30), span(f"Chapter {n * n}", 300, 30)) for n in range(1, 6)]
    roman = [page(n, span(("iii", "iv", "v", "vi")[n - 1], 250, 770)) for n in range(1, 5)]
    for made in (pages, roman):
        assert all(len(Running(made, 10.0).without(one)) == 1 for one in made)
    assert len(Running(pages, 10.0).without(page(6, span("121", 50, 30), span("kept", 300, 30)))) == 3


def test_a_header_that_pages_repeat_is_no_running_head():
    def page(number):
        head = [span("Name", 50, 40), span("Price", 200, 40)]
        return Page(number, 500, 800, [*head, *(span(f"x{number}", left, 64) for left in (50, 200))])

    pages = [page(number) for number in range(1, 5)]
    assert all(len(Running(pages, 10.0).without(one)) == 4 for one in pages)


def test_columns_of_two_lines_are_told_by_those_of_other_pages():
    known = []
    long = [span(letter * 36, left, 12 * i) for letter, left in (("l", 0), ("r", 200)) for i in range(8)]
    assert [r.spans[0].text[0] for r in regions_of(long, gutters_before=known)] == ["l", "r"]
    short = [span("a" * 36, 0, 0), span("c" * 30, 200, 0), span("b" * 36, 0, 12)]
    assert [s.text[0] for r in regions_of(short, gutters_before=known) for s in r.spans] == ["a", "b", "c"]
    assert [s.text[0] for r in regions_of(short) for s in r.spans] == ["a", "c", "b"]


def test_a_picture_in_the_middle_of_a_column_is_of_that_column():
    left = [span("l" * 36, 0, 12 * i) for i in range(3)]
    right = [span("r" * 36, 220, 12 * i) for i in range(3)]
    last = [span("y" * 80, 0, 150), span("y" * 80, 0, 162)]
    kinds = []
    for name, place in ((PICTURE, 40), (PICTURE, 0), (BODY, 40)):
        body = [span(name + "0", place, 44 + 12 * i, place + 100) for i in range(6)]
        read = [s.text[0] for region in regions_of([*left, *right, *body, *last]) for s in region.spans]
        kinds.append(list(dict.fromkeys(read)))
    assert kinds == [["l", BODY, "r", "y"], ["l", "r", BODY, "y"], ["l", "r", BODY, "y"]]


def test_items_of_a_list_in_a_list_are_its_next_ones():
    above = [span("3. " + "i" * 30, 4, 0), span("i" * 20, 20, 12)]
    assert _listed(above, [span("(1) inner", 24, 30)])
    assert not _listed(above, [span("(1) inner", 60, 30)])
    assert not _listed(above, [span("inner", 24, 30)])
    assert not _listed(above, [span("(1) inner", 24, 70)])


def test_two_tables_of_three_rules_are_two_also_where_the_second_is_high():
    page, spans = Page(1, 500, 800), []
    for rule in (90, 106, 160, 180, 196, 400):
        page.rules.append(Box(50, rule, 450, rule + 0.5))
    for name, tops in (("a", [93, 112, 128, 144]), ("b", [183, *range(202, 390, 16)])):
        spans += [span(f"{name}{n}{c}", 60 + 100 * c, top) for n, top in enumerate(tops) for c in range(3)]
    tables, rest = striped_tables_of(page, spans)
    assert [[row[0] for row in table.cells] for table in tables] == [
        ["a00", "a10", "a20", "a30"],
        [f"b{n}0" for n in range(13)],
    ]
    assert rest == []


def test_a_line_is_as_large_as_what_its_mark_stands_before(tmp_path):
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(tmp_path / "a.pdf"), pagesize=A4)
    text = canvas.beginText(60, 700)
    for mark, size in (("\u2022 ", 10), ("words", 11)):
        text.setFont("Helvetica", size)
        text.textOut(mark)
    canvas.drawText(text)
    canvas.save()
    with contextlib.closing(Pdf(tmp_path / "a.pdf")) as document:
        (line,) = with_marks(document.page(0).spans)
    assert (line.text, line.type_size) == ("\u2022 words", 11.0)


def test_a_number_at_the_end_of_a_line_is_no_mark_of_the_next_column():
    spaced = [span("words", 0, 0), span("apart", 100, 0), span("38.", 140, 0), span("r" * 20, 180, 0)]
    assert len(with_marks(spaced)) == 4
    assert len(with_marks([span("l" * 20, 0, 0), span("38.", 120, 0), span("r" * 20, 142, 0)])) == 2


def test_an_indented_line_below_a_list_begins_a_paragraph(tmp_path):
    look = ParagraphStyle("item", parent=LOOKS["BodyText"], leftIndent=18, bulletIndent=2, spaceBefore=0, spaceAfter=0)
    own = ParagraphStyle("own", parent=LOOKS["BodyText"], firstLineIndent=14, spaceBefore=0)
    items = [platypus.Paragraph(text, look, bulletText="\u2022") for text in TEXTS[:2]]
    found = read(made(tmp_path / "a.pdf", [*items, paragraph(TEXTS[2], own)]))
    assert plain(found) == [((0, TEXTS[0]), (0, TEXTS[1])), TEXTS[2]]


@pytest.mark.slow
def test_a_long_file_takes_little_memory_and_time(tmp_path):
    import resource

    path = made(tmp_path / "a.pdf", [paragraph(TEXTS[i % 12]) for i in range(40_000)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun, pages = time.process_time(), 0
    for block in reader_of(path).read(path):
        pages = max(pages, block.place.page)
    assert pages > 1500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    print("pages a second", pages / (time.process_time() - begun))
