"""Files that mean harm, or that somebody broke: each is made as small as it can be, and does what it does when it is read."""

import io
import os
import socket
import struct
import zipfile
import zlib
from pathlib import Path
from random import Random

TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>{}</Types>'
)
RELS = '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MAIN = "application/vnd.openxmlformats-officedocument."
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12)) + "]>"
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'


def archive(files, *, store=False):
    """A zip file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED if store else zipfile.ZIP_DEFLATED) as out:
        for name, content in files.items():
            if callable(content):
                with out.open(name, "w", force_zip64=True) as entry:
                    for piece in content():
                        entry.write(piece)
            else:
                out.writestr(name, content)
    return made.getvalue()


def office(part, kind, main, **others):
    """An office file: `part` is its main part."""
    return archive({
        "[Content_Types].xml": TYPES.format(f'<Override PartName="/{part}" ContentType="{MAIN}{kind}"/>'),
        "_rels/.rels": RELS.format(f'<Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="{part}"/>'),
        part: main,
        **others,
    })  # fmt: skip


def word(body, front="", **others):
    main = f'<?xml version="1.0"?>{front}<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>'
    return office("word/document.xml", "wordprocessingml.document.main+xml", main, **others)


def paragraph(text):
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def excel(sheet, front=""):
    """A book of one sheet; `sheet` is what is inside of it, or a function that gives that in pieces."""
    book = (
        f'<workbook xmlns="{S}" xmlns:r="{OFFICE}"><sheets><sheet name="s" sheetId="1" r:id="r1"/></sheets></workbook>'
    )
    begin, end = f'<?xml version="1.0"?>{front}<worksheet xmlns="{S}">'.encode(), b"</worksheet>"

    def pieces():
        yield begin
        yield from sheet() if callable(sheet) else [sheet.encode()]
        yield end

    rels = RELS.format(f'<Relationship Id="r1" Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>')
    return office("xl/workbook.xml", "spreadsheetml.sheet.main+xml", book, **{
        "xl/worksheets/sheet1.xml": pieces, "xl/_rels/workbook.xml.rels": rels,
    })  # fmt: skip


def cell(ref, text):
    return f'<c r="{ref}" t="inlineStr"><is><t>{text}</t></is></c>'


def slides(shapes, front=""):
    from pptx import Presentation

    made = io.BytesIO()
    deck = Presentation()
    deck.slides.add_slide(deck.slide_layouts[6])
    deck.save(made)
    files = {}
    with zipfile.ZipFile(made) as source:
        for name in source.namelist():
            files[name] = source.read(name)
    slide = files["ppt/slides/slide1.xml"].decode()
    slide = slide.replace("</p:spTree>", f"{shapes}</p:spTree>")
    head, _, rest = slide.partition("?>")
    files["ppt/slides/slide1.xml"] = f"{head}?>{front}{rest}"
    return archive(files)


def pdf(objects, *, trailer="", root=1):
    """A PDF file of objects by number."""
    out, places = io.BytesIO(), {}
    out.write(b"%PDF-1.7\n")
    for number, content in objects.items():
        places[number] = out.tell()
        out.write(
            f"{number} 0 obj\n".encode() + (content if isinstance(content, bytes) else content.encode()) + b"\nendobj\n"
        )
    start = out.tell()
    size = max(objects) + 1
    out.write(f"xref\n0 {size}\n0000000000 65535 f \n".encode())
    for number in range(1, size):
        out.write(f"{places.get(number, 0):010d} 00000 {'n' if number in places else 'f'} \n".encode())
    out.write(f"trailer\n<< /Size {size} /Root {root} 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def stream(content, entries=""):
    packed = zlib.compress(content, 9)
    return f"<< /Length {len(packed)} /Filter /FlateDecode {entries} >>\nstream\n".encode() + packed + b"\nendstream"


def page(
    content=b"BT /F1 12 Tf 50 700 Td (A page.) Tj ET",
    box="[0 0 600 800]",
    resources="",
    more=None,
    count=1,
    kids="[3 0 R]",
):
    return pdf({
        1: "<< /Type /Catalog /Pages 2 0 R >>",
        2: f"<< /Type /Pages /Kids {kids} /Count {count} >>",
        3: f"<< /Type /Page /Parent 2 0 R /MediaBox {box} /Contents 4 0 R"
           f" /Resources << /Font << /F1 5 0 R >> {resources} >> >>",
        4: stream(content),
        5: "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        **(more or {}),
    })  # fmt: skip


def encrypted_pdf():
    """Closed by a password that nobody knows."""
    return pdf({
        1: "<< /Type /Catalog /Pages 2 0 R >>", 2: "<< /Type /Pages /Kids [] /Count 0 >>",
        3: f"<< /Filter /Standard /V 2 /R 3 /Length 128 /P -44 /O <{'ab' * 32}> /U <{'cd' * 32}> >>",
    }, trailer=f"/Encrypt 3 0 R /ID [<{'00' * 16}> <{'00' * 16}>]")  # fmt: skip


def png(width, height, data=b""):
    """A PNG file that says how large it is, whatever is in it."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", data or zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def overlapping(entries=2000, size=4 << 20):
    """A zip file of which many entries are the same bytes."""
    whole = bytearray(archive({"word/document.xml": b"x" * size}))
    end = whole.rindex(b"PK\x05\x06")
    start = struct.unpack("<I", whole[end + 16 : end + 20])[0]
    central = bytes(whole[start:end])
    name = central.index(b"word/document.xml")
    copies = [central] + [
        central[:name] + f"word/doc{i:05d}.xml".encode()[:17].ljust(17, b"x") + central[name + 17 :]
        for i in range(entries)
    ]
    body = bytes(whole[:start]) + b"".join(copies)
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, len(copies), len(copies), len(body) - start, start, 0)
    return body + tail


def lying():
    """A zip file whose entry is much larger than it says."""
    made = bytearray(word(paragraph("x" * (64 << 20))))
    with zipfile.ZipFile(io.BytesIO(bytes(made))) as told:
        entry = told.getinfo("word/document.xml")
    real, small = struct.pack("<I", entry.file_size), struct.pack("<I", 100)
    return bytes(made).replace(real, small)


def locked(content):
    """A zip file whose entries say that a password closes them."""
    made = bytearray(content)
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = made.find(mark)
        while at >= 0:
            made[at + place] |= 1
            at = made.find(mark, at + 4)
    return bytes(made)


def zeros(megabytes):
    """A function that gives so many of them, and nothing before it is asked."""

    def pieces():
        for _ in range(megabytes):
            yield bytes(1 << 20)

    return pieces


def rows(count, width):
    def pieces():
        yield b"<sheetData>"
        for number in range(1, count + 1):
            yield f'<row r="{number}">'.encode() + b"<c><v>1</v></c>" * width + b"</row>"
        yield b"</sheetData>"

    return pieces


FAILS, READ, EITHER = "fails", "read", "either"


def files(*, large=True):
    """All of them: name, content (or a function that makes it at a path), what comes of it, and a word of the reason."""
    draw = Random(7)
    sound = {
        "pdf": page(), "docx": word(paragraph("A text.")), "pptx": slides(""),
        "xlsx": excel(f'<sheetData><row r="1">{cell("A1", "x")}</row><row r="2">{cell("A2", "y")}</row></sheetData>'),
    }  # fmt: skip
    made = []

    def add(name, content, comes=FAILS, reason=""):
        made.append((name, content, comes, reason))

    # Archives.
    add("bomb.docx", office("word/document.xml", "x", zeros(24)), FAILS, "unpacked")
    add("entries.pptx", archive({f"f{i}": b"" for i in range(20_100)}), FAILS, "files")
    add("zip_in_zip.docx", archive({"inner.zip": archive({"a": zeros(24)})}), FAILS, "word/document.xml")
    add("embedded_bomb.docx", word(paragraph("x"), **{"word/embeddings/b.zip": zeros(24)}), FAILS, "unpacked")
    add("overlapping.docx", overlapping(), FAILS, "unpacked")
    add("lying.docx", lying(), FAILS, "damaged")
    add("paths.docx", word(paragraph("A text."), **{"../../../etc/cron": "x", "/abs": "x"}), EITHER)
    # Broken ones.
    for ending, content in sound.items():
        add(f"truncated.{ending}", content[: len(content) * 2 // 3], EITHER if ending == "pdf" else FAILS, "damaged")
        add(f"random.{ending}", draw.randbytes(5000), FAILS, "")
        add(f"empty.{ending}", b"", FAILS, "")
        add(f"bits.{ending}", flipped(content, draw), EITHER)
    add("random.html", draw.randbytes(5000), EITHER)
    add("random.txt", draw.randbytes(5000), EITHER)
    add("random.csv", draw.randbytes(5000), EITHER)
    add("random.jsonl", draw.randbytes(5000))
    add("truncated.jsonl", b'{"a": 1}\n{"a": ', FAILS, "line 2")
    add("empty.txt", b"", READ)
    add("empty.csv", b"", READ)
    # Closed ones, and what is in them that is not looked at.
    add("closed.pdf", encrypted_pdf(), FAILS, "password")
    add("closed.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + draw.randbytes(4096), FAILS, "password")
    add("closed.xlsx", locked(sound["xlsx"]), FAILS, "password")
    add("macros.docm", word(paragraph("A text."), **{"word/vbaProject.bin": draw.randbytes(4096)}), EITHER)
    # Entities.
    add("laughs.docx", word(paragraph("&a11;"), LAUGHS))
    add("laughs.xlsx", excel(f'<sheetData><row r="1">{cell("A1", "&a11;")}</row></sheetData>', LAUGHS), EITHER)
    add("laughs.pptx", slides("", LAUGHS), EITHER)
    add("outside.docx", word(paragraph("&e;"), OUTSIDE), EITHER)
    add("outside.xlsx", excel(f'<sheetData><row r="1">{cell("A1", "&e;")}</row></sheetData>', OUTSIDE), EITHER)
    add("outside.html", f"{OUTSIDE}<p>&e;</p>".encode(), READ)
    # Wide and long ones.
    add("wide.csv", (",".join(map(str, range(10_000))) + "\n").encode() * 3, FAILS, "columns")
    add("wide.xlsx", excel(rows(2, 10_000)), FAILS, "columns")
    add("far.xlsx", excel(f'<sheetData><row r="1048576">{cell("XFD1048576", "x")}</row></sheetData>'), FAILS, "columns")
    add(
        "merged.xlsx",
        excel('<sheetData/><mergeCells count="1"><mergeCell ref="A1:XFD1048576"/></mergeCells>'),
        FAILS,
        "merged cells",
    )
    add("cell.csv", b"a,b\n" + b"x" * (2 << 20) + b",1\n", FAILS, "line 2")
    add("quotes.csv", b"a,b\n" + b"\",'" * 8000, EITHER)
    add("line.txt", b"x" * (8 << 20), READ)
    add("dots.txt", b"." * (1 << 20) + b"x", READ)
    add(
        "spans.html",
        b"<table>" + b"<tr><td colspan=999999999 rowspan=999999999>x</td></tr>" * 200 + b"</table>",
        EITHER,
    )
    add(
        "spans.docx",
        word(
            "<w:tbl>"
            + "<w:tr>"
            + ('<w:tc><w:tcPr><w:gridSpan w:val="999999999"/></w:tcPr>' + paragraph("x") + "</w:tc>") * 50
            + "</w:tr>"
            + "</w:tbl>"
        ),
        EITHER,
    )
    if large:
        add("million.csv", b"a,b\n" + b"1,2\n" * 1_000_000, READ)
        add("million.xlsx", excel(rows(1_100_000, 1)), FAILS, "rows")
        add("lines.md", b"word " * (1 << 20), READ)
    # Deep ones.
    add("deep.html", b"<div>" * 200_000 + b"x", EITHER)
    add("deep.md", b"> " * 20_000 + b"x\n" + b"".join(b"  " * i + b"- x\n" for i in range(500)), EITHER)
    add("brackets.md", b"[" * 50_000 + b"](" * 50_000, EITHER)
    add("stars.md", b"*a_" * 20_000, EITHER)
    add("deep.jsonl", b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", FAILS, "line 1")
    add("groups.pptx", slides("<p:grpSp>" * 3000 + "</p:grpSp>" * 3000), EITHER)
    add(
        "nested_tables.docx",
        word("<w:tbl><w:tr><w:tc>" * 5000 + paragraph("x") + "</w:tc></w:tr></w:tbl>" * 5000),
        EITHER,
    )
    # Bytes.
    for ending in ("txt", "md", "csv", "html"):
        add(f"zeros.{ending}", b"a\0b\0" * 100, FAILS, "no text")
    add("halves.jsonl", b'{"a": "\\ud800 \\udfff \\u0000"}', READ)
    add("odd.txt", b"\xff\xfea\0b", READ)
    # Wrong endings.
    add("picture.pdf", png(10, 10), FAILS, "damaged")
    add("page.docx", sound["pdf"], FAILS, "damaged")
    add("program.txt", b"\x7fELF\x02\x01\x01" + bytes(64) + draw.randbytes(512), FAILS, "no text")
    # PDF.
    add("box.pdf", page(box="[-1e30 -1e30 1e30 1e30]"), EITHER)
    add("no_box.pdf", page(box="[0 0 0 0]"), EITHER)
    form = "/XObject << /X 6 0 R >>"
    add(
        "forms.pdf",
        page(
            b"/X Do",
            resources=form,
            more={6: stream(b"/X Do /X Do", f"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << {form} >>")},
        ),
        EITHER,
    )
    add("tree.pdf", page(kids="[2 0 R 3 0 R]", count=1_000_000_000), EITHER)
    add("stream.pdf", page(b" " * (128 << 20)), EITHER)
    add("letters.pdf", page(b"BT /F1 1 Tf " + b"(xxxxxxxxxxxxxxxxxxxx) Tj " * 20_000 + b"ET"), EITHER)
    huge = "/Type /XObject /Subtype /Image /Width 100000 /Height 100000 /BitsPerComponent 8 /ColorSpace /DeviceRGB"
    add("image.pdf", page(b"600 0 0 800 0 0 cm /X Do", resources=form, more={6: stream(bytes(1000), huge)}), EITHER)
    add("loop.pdf", sound["pdf"].replace(b"/Root 1 0 R", b"/Root 1 0 R /Prev 9"), EITHER)
    # Names and kinds of files.
    add("line\nbreak.txt", b"A text.", FAILS, "not printed")
    add(b"bytes\xff.txt", b"A text.", FAILS, "not printed")
    add("loop.txt", lambda path: path.symlink_to(path.name), FAILS, "symbolic links")
    add("nowhere.txt", lambda path: path.symlink_to("none.txt"), FAILS, "No such file")
    add("pipe.txt", os.mkfifo, FAILS, "no ordinary file")
    add("socket.txt", _socket, FAILS, "no ordinary file")
    return made


def _socket(path):
    held = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        held.bind(path.name)
    finally:
        os.chdir(here)
        held.close()


def flipped(content, draw):
    """Some of its bits are otherwise."""
    made = bytearray(content)
    for _ in range(20):
        made[draw.randrange(len(made))] ^= 1 << draw.randrange(8)
    return bytes(made)


def write(folder, wanted=None, *, large=True):
    """Write them, and say of each what comes of it: by name, as it is told, with a word of the reason."""
    expected = {}
    for name, content, comes, reason in files(large=large):
        if wanted is not None and name not in wanted:
            continue
        path = folder / (os.fsdecode(name) if isinstance(name, bytes) else name)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content)
        told = path.as_posix()
        expected[told if told.isprintable() else told.encode("unicode_escape").decode()] = (comes, reason)
    return expected
