"""What Word files have beyond paragraphs: outlines, lists by numbering, notes, text boxes, tracked changes, fields, pictures."""

import io
import zipfile

import pytest

from rag.document import Bullets, Figure, Heading, Paragraph, Table
from rag.readers.word import Config

docx = pytest.importorskip("docx")
Image = pytest.importorskip("PIL.Image")

from docx.oxml import parse_xml  # noqa: E402 (needs what is asked for above)
from docx.oxml.ns import nsdecls  # noqa: E402

NAMES = nsdecls("w", "wp", "a", "r") + (
    ' xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    ' xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"'
    ' xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
)


def run(text):
    return f"<w:r><w:t>{text}</w:t></w:r>"


def read(tmp_path, *parts, change=lambda document: None):
    document = docx.Document()
    end = document.element.body[-1]
    for part in parts:
        end.addprevious(parse_xml(part.replace(">", f" {NAMES}>", 1) if "xmlns" not in part else part))
    change(document)
    path = tmp_path / "a.docx"
    document.save(path)
    return list(Config(ocr="never").read(path))


def test_an_outline_level_and_styles_based_on_headings_are_headings(tmp_path):
    def change(document):
        style = document.styles.add_style("Chapter", 1)
        style.base_style = document.styles["Heading 2"]
        document.add_paragraph("By style", style)

    found = read(tmp_path, f'<w:p><w:pPr><w:outlineLvl w:val="2"/></w:pPr>{run("By outline")}</w:p>', change=change)
    assert found == [Heading("By outline", 3), Heading("By style", 2)]


def test_lists_have_the_numbers_and_depths_of_their_numbering(tmp_path):
    def item(number, depth, text):
        own = f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="{number}"/></w:numPr>'
        return f"<w:p><w:pPr>{own}</w:pPr>{run(text)}</w:p>"

    def change(document):
        levels = (
            '<w:lvl w:ilvl="0"><w:numFmt w:val="decimal"/></w:lvl><w:lvl w:ilvl="1"><w:numFmt w:val="bullet"/></w:lvl>'
        )
        root = document.part.numbering_part.element
        root.insert(0, parse_xml(f'<w:abstractNum {NAMES} w:abstractNumId="90">{levels}</w:abstractNum>'))
        root.append(parse_xml(f'<w:num {NAMES} w:numId="91"><w:abstractNumId w:val="90"/></w:num>'))

    found = read(tmp_path, item(91, 0, "one"), item(91, 1, "inner"), item(0, 0, "no item"), change=change)
    assert found == [Bullets(((0, "one"), (1, "inner")), True), Paragraph("no item")]


def test_what_was_deleted_moved_hidden_or_said_twice_is_left_out(tmp_path):
    box = "<w:txbxContent><w:p>" + run("boxed") + "</w:p></w:txbxContent>"
    shape = f"<w:r><mc:AlternateContent><mc:Choice><wps:txbx>{box}</wps:txbx></mc:Choice>"
    shape += f"<mc:Fallback>{box}</mc:Fallback></mc:AlternateContent></w:r>"
    found = read(
        tmp_path,
        f"<w:p>{run('kept ')}<w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:ins>{run('added')}</w:ins>"
        f"<w:moveFrom>{run('moved')}</w:moveFrom><w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r></w:p>",
        f"<w:p>{run('before ')}{shape}{run('after')}</w:p>",
        f"<w:sdt><w:sdtContent><w:p>{run('in a field')}</w:p></w:sdtContent></w:sdt>",
        "<w:p><m:oMath><m:r><m:t>x=1</m:t></m:r></m:oMath></w:p>",
    )
    texts = ["kept added", "before after", "boxed", "in a field", "x=1"]
    assert found == [Paragraph(text) for text in texts]


def test_notes_stand_in_brackets(tmp_path):
    path = tmp_path / "a.docx"
    document = docx.Document()
    document.add_paragraph("A claim")._p.append(parse_xml(f'<w:r {NAMES}><w:endnoteReference w:id="7"/></w:r>'))
    document.save(path)
    notes = f'<w:endnotes {NAMES}><w:endnote w:id="7"><w:p>{run("its source")}</w:p></w:endnote></w:endnotes>'
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/endnotes"
    media = "application/vnd.openxmlformats-officedocument.wordprocessingml.endnotes+xml"
    content = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(content, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "word/_rels/document.xml.rels":
                relation = f'<Relationship Id="rId99" Type="{kind}" Target="endnotes.xml"/></Relationships>'
                data = data.replace(b"</Relationships>", relation.encode())
            if name == "[Content_Types].xml":
                override = f'<Override PartName="/word/endnotes.xml" ContentType="{media}"/></Types>'
                data = data.replace(b"</Types>", override.encode())
            new.writestr(name, data)
        new.writestr("word/endnotes.xml", notes)
    path.write_bytes(content.getvalue())
    assert list(Config().read(path)) == [Paragraph("A claim (its source)")]


def test_captions_belong_to_tables_and_pictures_above_or_below(tmp_path):
    picture = io.BytesIO()
    Image.new("RGB", (200, 100), "white").save(picture, "PNG")

    def change(document):
        document.add_table(1, 1).cell(0, 0).text = "x"
        document.add_paragraph("Table 2: below", "Caption")
        document.add_picture(io.BytesIO(picture.getvalue()))
        document.paragraphs[-1]._p.xpath(".//wp:docPr")[0].set("descr", "a plan")
        document.add_paragraph("Figure 1: a caption", "Caption")
        document.add_paragraph("Figure 2: of nothing", "Caption")

    found = read(tmp_path, change=change)
    assert found == [
        Table((("x",),), 1, "Table 2: below"),
        Figure("Figure 1: a caption", content=picture.getvalue()),
        Paragraph("Figure 2: of nothing"),
    ]
