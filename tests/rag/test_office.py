"""Readers of office files, against files made here, whose content is known; and files that mean no good."""

import datetime
import io
import zipfile

import pytest

from easyrec.errors import DataError
from rag.document import Bullets, Figure, Heading, Paragraph, Place, Table
from rag.readers import reader_of
from rag.readers.excel import Config as Excel

docx = pytest.importorskip("docx")
openpyxl = pytest.importorskip("openpyxl")
pptx = pytest.importorskip("pptx")
pytest.importorskip("pptx.chart.data")

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)


def read(path):
    return list(reader_of(path).read(path))


def test_word(tmp_path):
    document = docx.Document()
    document.add_heading("Handbook", 0)
    document.add_heading("Refunds", 1)
    document.add_paragraph("A refund takes  five\tdays.")
    for text, style in (("card", "List Bullet"), ("credit", "List Bullet 2"), ("cash", "List Bullet")):
        document.add_paragraph(text, style)
    document.add_heading("退款", 2)
    document.add_paragraph("Table 1: Times", "Caption")
    table = document.add_table(3, 3)
    for row, texts in enumerate([("kind", "days", "days"), ("card", "5", "6"), ("card", "7", "8")]):
        for column, text in enumerate(texts):
            table.cell(row, column).text = text
    table.cell(0, 2).text = table.cell(2, 0).text = ""
    table.cell(0, 1).merge(table.cell(0, 2))
    table.cell(1, 0).merge(table.cell(2, 0))
    document.add_paragraph("The end.")
    path = tmp_path / "a.docx"
    document.save(path)
    assert read(path) == [
        Heading("Handbook", 0),
        Heading("Refunds", 1),
        Paragraph("A refund takes five days."),
        Bullets(((0, "card"), (1, "credit"), (0, "cash"))),
        Heading("退款", 2),
        Table((("kind", "days", "days"), ("card", "5", "6"), ("card", "7", "8")), 1, "Table 1: Times"),
        Paragraph("The end."),
    ]


def test_excel(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Prices"
    for row in [
        ("item", "price", "on sale"),
        ("chair", 10.0, True),
        ("table", 20.5, None),
        (None, None, None),
        ("lamp", 3, False),
    ]:
        sheet.append(row)
    sheet.append(("merged", None, None))
    sheet.merge_cells("A6:C6")
    other = book.create_sheet("Empty")
    hidden = book.create_sheet("Secret")
    hidden["A1"] = "x"
    hidden.sheet_state = "hidden"
    path = tmp_path / "a.xlsx"
    book.save(path)
    head = ("item", "price", "on sale")
    assert read(path) == [
        Heading("Prices", 1, Place(page=1)),
        Table(
            (
                head,
                ("chair", "10", "TRUE"),
                ("table", "20.5", ""),
                ("lamp", "3", "FALSE"),
                ("merged", "merged", "merged"),
            ),
            1,
            "",
            Place(page=1, line=2),
        ),
    ]
    assert other.title == "Empty"
    assert [len(part.rows) for part in list(Excel(part_rows=2).read(path))[1:]] == [3, 3]
    assert list(Excel(sheets=["Secret"]).read(path))[1].rows == (("x",),)
    with pytest.raises(DataError, match="no sheet 'secret'; there are Prices, Empty, Secret"):
        list(Excel(sheets=["secret"]).read(path))


def test_a_sheet_may_have_several_tables_with_titles_and_formats(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Year"
    rows = [
        ("Sales 2025", None, None),
        ("region", "share", "income"),
        ("north", 0.125, 1234.5),
        ("south", 0.5, -20),
        (),
        ("Staff",),
        ("name", "since", "room"),
        ("Ann", datetime.date(2020, 3, 1), "A1"),
        ("Bob", datetime.date(2021, 4, 2), "B"),
    ]
    for row in rows:
        sheet.append(row)
    for row in (3, 4):
        sheet.cell(row, 2).number_format = "0.0%"
        sheet.cell(row, 3).number_format = '"EUR" #,##0.00'
    sheet.append(("Eve", None, "hidden"))
    sheet.row_dimensions[10].hidden = True
    book.save(tmp_path / "a.xlsx")
    _, sales, staff = read(tmp_path / "a.xlsx")
    assert (sales.caption, staff.caption) == ("Sales 2025", "Staff")
    assert sales.rows == (
        ("region", "share", "income"),
        ("north", "12.5%", "EUR 1,234.50"),
        ("south", "50.0%", "-EUR 20.00"),
    )
    assert staff.rows == (("name", "since", "room"), ("Ann", "2020-03-01", "A1"), ("Bob", "2021-04-02", "B"))


@pytest.mark.parametrize("beside", ["down", "empty", "data"])
def test_a_header_of_two_rows_with_merged_cells_is_one_and_empty_columns_beside_a_table_are_none(tmp_path, beside):
    book = openpyxl.Workbook()
    sheet = book.active
    for place, row in enumerate([("depot", "parcels", None), (None, "Q1", "Q2"), ("north", 1, 2), ("south", 3, 4)], 2):
        for column, value in enumerate(row, 2):
            sheet.cell(place, column, value)
    sheet.merge_cells("C2:D2")
    sheet.cell(8, 6, "far")
    if beside == "down":
        sheet.merge_cells("B2:B3")
    elif beside == "data":
        sheet["B3"] = "west"
    book.save(tmp_path / "a.xlsx")
    table, *_ = [block for block in read(tmp_path / "a.xlsx") if isinstance(block, Table)]
    below = {"down": "depot", "empty": "", "data": "west"}[beside]
    assert table.rows[:3] == (("depot", "parcels", "parcels"), (below, "Q1", "Q2"), ("north", "1", "2"))
    assert table.header == (1 if beside == "data" else 2)


def test_shapes_of_groups_are_read_where_they_stand_and_charts_as_their_numbers(tmp_path):
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    inch = 914_400
    slide.shapes.add_textbox(inch, 3 * inch, inch, inch).text_frame.text = "below"
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(0, 20 * inch, inch, inch).text_frame.text = "grouped"
    frame = group._element.grpSpPr.get_or_add_xfrm()  # the group is moved up
    frame.off.x, frame.off.y = inch, inch
    data = pptx.chart.data.CategoryChartData()
    data.categories = ["Q1", "Q2"]
    data.add_series("income", (1.5, None))
    slide.shapes.add_chart(pptx.enum.chart.XL_CHART_TYPE.COLUMN_CLUSTERED, inch, 5 * inch, inch, inch, data)
    deck.save(tmp_path / "a.pptx")
    found = read(tmp_path / "a.pptx")
    assert [block.text for block in found[1:3]] == ["grouped", "below"]
    assert found[1].place.box == (0.1, 0.1333, 0.2, 0.2667)
    assert found[3].rows == (("", "income"), ("Q1", "1.5"), ("Q2", ""))


def test_powerpoint(tmp_path):
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = "Refunds"
    body = slide.placeholders[1].text_frame
    body.text = "by card"
    deeper = body.add_paragraph()
    deeper.text, deeper.level = "five days", 1
    slide.notes_slide.notes_text_frame.text = "say it slowly"
    second = deck.slides.add_slide(deck.slide_layouts[6])
    inch = 914_400
    shape = second.shapes.add_table(2, 2, inch, 4 * inch, 4 * inch, inch)
    for row, texts in enumerate([("a", ""), ("1", "2")]):
        for column, text in enumerate(texts):
            shape.table.cell(row, column).text = text
    shape.table.cell(0, 0).merge(shape.table.cell(0, 1))
    second.shapes.add_textbox(5 * inch, inch, inch, inch).text_frame.text = "right"
    second.shapes.add_textbox(inch, inch, inch, inch).text_frame.text = "left"
    picture = second.shapes.add_picture(io.BytesIO(PNG), inch, 6 * inch, inch, inch)
    picture._element.nvPicPr.cNvPr.set("descr", "a plan")
    path = tmp_path / "a.pptx"
    deck.save(path)
    found = read(path)
    assert [(type(block), block.place.page) for block in found] == [
        (Heading, 1), (Bullets, 1), (Paragraph, 1), (Heading, 2), (Paragraph, 2), (Paragraph, 2), (Table, 2), (Figure, 2),
    ]  # fmt: skip
    assert found[0].text == "Refunds"
    assert found[1].items == ((0, "by card"), (1, "five days"))
    assert found[2].text == "say it slowly"
    assert [block.text for block in found[4:6]] == ["left", "right"]
    assert found[6].rows == (("a", "a"), ("1", "2"))
    assert found[7].caption == "a plan"
    assert found[4].place.box == (0.1, 0.1333, 0.2, 0.2667)


def bomb(path, name, times):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(times):
            archive.writestr(f"{name}{number or ''}", b"\0" * (32 << 20))


@pytest.mark.parametrize(
    ("ending", "inside"),
    [(".docx", "word/document.xml"), (".xlsx", "xl/workbook.xml"), (".pptx", "ppt/presentation.xml")],
)
def test_files_that_mean_no_good(tmp_path, ending, inside):
    path = tmp_path / f"a{ending}"

    def refused(reason):
        with pytest.raises(DataError, match=reason) as told:
            read(path)
        assert str(path) in str(told.value)

    path.write_bytes(b"")
    refused("is damaged")
    path.write_bytes(b"PK\x03\x04" + b"\0" * 100)
    refused("is damaged")
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)
    refused("closed by a password, or of the format before 2007")
    bomb(path, inside, 1)
    refused("bytes unpacked")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "x")
    refused(f"has no '{inside}'")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(inside, "<a>")
        archive.writestr("[Content_Types].xml", "<Types/>")
    refused("is damaged")
    laughs = (
        '<!DOCTYPE x [<!ENTITY a "ha">'
        + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
        + "]>"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(inside, f"{laughs}<x>&j;</x>")
        archive.writestr("[Content_Types].xml", f"{laughs}<Types>&j;</Types>")
        archive.writestr("_rels/.rels", f"{laughs}<Relationships>&j;</Relationships>")
    refused("is damaged")
