"""Scans, pictures in documents and picture files, read by OCR, against files made here; what happens without the extra."""

import base64
import importlib.util
import io
import logging
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from easyrec.errors import DataError, MissingExtra
from rag.document import Figure, Heading, Paragraph, Place, Table
from rag.ocr import Line, Scan, _back, _room_beside, installed
from rag.pages.legible import is_garbage, is_scan
from rag.pages.look import Look
from rag.pages.page import Page, Picture, Span, turned
from rag.pages.scanned import Sizes, page_of, sizes_of
from rag.pictures import frames_of, kept, pixels_of
from rag.readers import reader_of
from rag.readers._reading import counted
from rag.readers.html import Config as Html
from rag.readers.image import Config as Picture_
from rag.readers.markdown import Config as Markdown
from rag.readers.pdf import Config as Pdf

pytest.importorskip("pypdfium2")
Image = pytest.importorskip("PIL.Image")
Draw = pytest.importorskip("PIL.ImageDraw")
Font = pytest.importorskip("PIL.ImageFont")
canvas = pytest.importorskip("reportlab.pdfgen.canvas")

needs_ocr = pytest.mark.skipif(not installed(), reason="needs the extra ocr")


def extraction():
    folder = Path(__file__).parents[2] / "benchmarks"
    spec = importlib.util.spec_from_file_location("benchmark_extraction", folder / "extraction.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.append(str(folder))  # its room lies beside it
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


def drawn(*lines, size=(900, 300), points=32):
    picture = Image.new("RGB", size, "white")
    for number, line in enumerate(lines):
        Draw.Draw(picture).text((40, 40 + 60 * number), line, "black", Font.load_default(points))
    return picture


def content_of(picture, form="PNG"):
    file = io.BytesIO()
    picture.save(file, form)
    return file.getvalue()


def without_extra(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "rapidocr" else found(name, *a))
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    monkeypatch.setattr("rag.ocr._engine", None)


# ------------------------------------------------------------------------------------------------- pictures


def test_pictures_are_unpacked_within_bounds():
    picture = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    assert pixels_of(content_of(picture)).shape == (30, 40, 3)
    assert (pixels_of(content_of(picture)) == 255).all()  # what is clear is white
    with pytest.raises(DataError, match="has 40 x 30 pixels, and 100 are read"):
        pixels_of(content_of(picture), 100)
    with pytest.raises(DataError, match="no picture that can be read"):
        pixels_of(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
    whole = content_of(Image.effect_noise((64, 64), 50), "JPEG")
    with pytest.raises(DataError, match="no picture"):
        pixels_of(whole[: len(whole) // 3])
    turned_by_camera = Image.new("RGB", (40, 20))
    exif = turned_by_camera.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    turned_by_camera.save(file, "JPEG", exif=exif)
    assert pixels_of(file.getvalue()).shape == (40, 20, 3)


def test_pages_of_tiff_files_and_first_frames_of_others():
    frames = [Image.new("L", (20, 20), shade) for shade in (0, 100, 200)]
    for form, count in (("TIFF", 3), ("GIF", 1)):
        file = io.BytesIO()
        frames[0].save(file, form, save_all=True, append_images=frames[1:])
        assert [int(page[0, 0, 0]) for page in frames_of(file.getvalue(), 10)] == [0, 100, 200][:count]
    assert len(list(frames_of(file.getvalue(), 2))) == 1


def test_kept_pictures_are_small():
    noise = np.random.default_rng(1).integers(0, 255, (2000, 3000, 3), np.uint8)
    small = kept(noise)
    assert small[:2] == b"\xff\xd8"
    assert max(pixels_of(small).shape) == 1600
    own = content_of(drawn("x"))
    assert kept(pixels_of(own), own) == own
    assert kept(pixels_of(own), b"BM...")[:4] == b"\x89PNG"  # few colours


# ----------------------------------------------------------------------------------------------------- scans


def test_pages_without_text_or_with_garbage_are_scans():
    def page(text, *pictures):
        return Page(1, 100, 100, [Span(0, 0, 50, 10, text, [0.0] * len(text))], pictures=list(pictures))

    whole = Picture(0, 0, 100, 100, 10, 10)
    prose = "The refund takes five days, and the voucher is kept by the customer for a year. " * 6
    assert is_scan(page(""))
    assert is_scan(page("scanned by a machine of the office", whole))
    assert not is_scan(page("a short page of its own"[:30] + " with a few words"))
    assert not is_scan(page(prose, whole))  # a scan whose text somebody has laid under it
    assert not is_garbage(prose)
    assert is_garbage("\ue000\ue001\ue002" * 20)
    assert is_garbage("".join("bcdfghjklmnpqrstvwxz"[ord(c) % 20] if c.isalpha() else c for c in prose))
    assert not is_garbage("每个员工每年有三十天假期。" * 20)
    assert not is_garbage("A-1234 B-5678 XKCD " * 30)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_places_are_those_of_the_page_as_it_is_shown(quarters):
    picture = np.zeros((30, 40), bool)
    picture[5, 10] = True
    upright = np.rot90(picture, quarters)
    (y,), (x,) = np.nonzero(upright)
    scan = Scan(upright.shape[1], upright.shape[0], given=(40, 30), quarters=quarters)
    scan.back = _back(40, 30, 1.0, quarters, np.eye(2, 3))
    page = page_of(scan, 1, 80.0, 60.0)
    assert (page.width, page.height) == ((60.0, 80.0) if quarters % 2 else (80.0, 60.0))
    wide, high = upright.shape[1], upright.shape[0]
    place = turned(Place(1, (x / wide, y / high, (x + 1) / wide, (y + 1) / high)), page.back)
    assert place.box == pytest.approx((10 / 40, 5 / 30, 11 / 40, 6 / 30), abs=1e-4)


def test_round_marks_of_scans_stand_before_their_lines():
    line = Line("a line of a list", 60.0, 40.0, 300.0, 60.0, 20.0, 0.9)
    page = page_of(Scan(600, 800, [line], dots=[(30.0, 46.0, 36.0, 52.0)], given=(600, 800)), 1, 300.0, 400.0)
    (block,) = Look([page]).said(page).blocks
    assert block.items == ((0, "a line of a list"),)


def test_lines_end_where_their_ink_does():
    dark = np.zeros((10, 40), bool)
    dark[4:8, 6:36] = True
    assert _room_beside(dark) == (6, 4)
    assert _room_beside(dark[:, :20]) == (6, 0)
    assert _room_beside(np.pad(dark, ((0, 0), (30, 0)))) == (10, 4)  # no box leaves more than its height
    assert _room_beside(np.zeros((10, 40), bool)) == (0, 0)


def test_sizes_that_are_measured_are_made_alike():
    def span(points, text):
        return Span(0, 0, 1, 1, text, [0.0] * len(text), points=points)

    spans = [
        span(9.8, "x" * 100),
        span(10.3, "x" * 100),
        span(9.3, "每" * 90),
        span(15.2, "t" * 9),
        span(19.7, "u" * 9),
    ]
    sizes = sizes_of([Page(1, 100, 100, spans, scanned=True)])
    assert len(sizes.known) == 3
    assert sizes.of(spans[0]) == sizes.of(spans[1]) == sizes.of(spans[2])
    assert [sizes.known.index(sizes.of(spans[n])) for n in (3, 4)] == [1, 0]
    assert sizes_of([], Sizes((12.0,))).known == (12.0,)


def test_without_the_extra_scans_are_left_out_and_counted(tmp_path, monkeypatch, caplog):
    without_extra(monkeypatch)
    path = tmp_path / "a.pdf"
    made = canvas.Canvas(str(path))
    made.drawString(60, 700, "A page with text of its own, which is long enough to be one.")
    made.showPage()
    made.drawInlineImage(drawn("a scan"), 0, 0, 595, 842)
    made.showPage()
    made.save()
    with caplog.at_level(logging.WARNING, "rag"), counted() as counts:
        found = list(Pdf().read(path))
    assert [block.text for block in found] == ["A page with text of its own, which is long enough to be one."]
    assert counts["unread_pages"] >= 1
    assert "pip install" in caplog.text
    with pytest.raises(MissingExtra, match=r"(rapidocr|cv2).*\[ocr\]"):
        list(Pdf(ocr="always").read(path))
    with counted() as counts:
        assert len(list(Pdf(ocr="never").read(path))) == 1
    assert not counts


def test_pictures_of_markdown_come_from_its_folder_alone(tmp_path, monkeypatch):
    pytest.importorskip("markdown_it")
    without_extra(monkeypatch)
    folder = tmp_path / "docs"
    (folder / "img").mkdir(parents=True)
    own = content_of(drawn("x"))
    (folder / "img" / "a b.png").write_bytes(own)
    (tmp_path / "secret.png").write_bytes(own)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    addresses = ["img/a%20b.png", "../secret.png", "link.png", str(tmp_path / "secret.png"), "http://x/y.png", "img"]
    (folder / "a.md").write_text("\n\n".join(f"![p{n}]({address})" for n, address in enumerate(addresses)))
    found = list(Markdown().read(folder / "a.md"))
    assert [block.caption for block in found] == [f"p{n}" for n in range(6)]
    assert [block.content is not None for block in found] == [True] + [False] * 5


def test_pictures_of_pages_are_those_that_they_hold(tmp_path, monkeypatch):
    without_extra(monkeypatch)
    data = base64.b64encode(content_of(drawn("x"))).decode()
    path = tmp_path / "a.html"
    path.write_text(
        f'<img alt=one src="data:image/png;base64,{data}"><img alt=two src="data:image/png;base64,!!">'
        '<img alt=three src="http://x/y.png"><div hidden>no</div><p style="color:red">yes</p><aside>no</aside>'
    )
    found = list(Html().read(path))
    assert [(b.caption, b.content is not None) for b in found[:3]] == [("one", True), ("two", False), ("three", False)]
    assert found[3:] == [Paragraph("yes", found[3].place)]


# --------------------------------------------------------------------------------------- read by the models


@needs_ocr
@pytest.mark.slow
@pytest.mark.parametrize(
    ("angle", "columns", "seed"), [(0.0, 1, 1), (90.0, 1, 1), (181.5, 1, 1), (268.0, 1, 1), (1.3, 2, 402)]
)  # columns of the last one are 14 points apart
def test_a_scan_however_it_lies(tmp_path, angle, columns, seed):
    made = extraction()
    truth = made.document(
        7 if columns == 1 else 1302,
        chinese=False,
        sections=columns,
        notes=False,
        long_table=0,
        most=5 if columns == 1 else 3,
    )
    order = made.reportlab_pdf(
        truth, tmp_path / "text.pdf", seed, chinese=False, columns=columns, look=seed % 3 if columns == 2 else None
    )
    made.scanned(tmp_path / "text.pdf", tmp_path / "scan.pdf", 1, angle=angle, dpi=150 if columns == 1 else 200)
    with counted() as counts:
        found = made.read(tmp_path / "scan.pdf")
    score = made.compared(order, found, read=True)
    assert score.items_right == score.items, score.wrong
    assert score.headings_right == score.headings, score.wrong
    assert score.cells_right >= 0.99 * score.cells, score.wrong
    assert score.errors <= 0.01 * score.characters
    assert counts["scanned_pages"] >= 1
    assert all(0 <= edge <= 1 for block in found for edge in block.place.box)


@needs_ocr
@pytest.mark.slow
def test_a_figure_of_a_page_has_its_caption_its_text_and_itself(tmp_path):
    path = tmp_path / "a.pdf"
    made = canvas.Canvas(str(path))
    for number in range(3):
        made.drawString(
            60, 780 - 14 * number, f"Line {number} of some text that stands above the picture of this page."
        )
    made.drawInlineImage(drawn("Total revenue", "12,345 EUR"), 60, 560, 360, 120)
    made.drawString(60, 540, "Figure 3: What was earned")
    made.drawString(60, 500, "And text below it, which is not its caption.")
    made.save()
    *_, figure, after = list(reader_of(path).read(path))
    assert isinstance(figure, Figure)
    assert figure.caption == "Figure 3: What was earned"
    assert figure.text.split() == ["Total", "revenue", "12,345", "EUR"]
    assert figure.content is not None
    assert figure.place.box == pytest.approx((0.1008, 0.1923, 0.7056, 0.3348), abs=0.01)
    assert after.text.startswith("And text")


@needs_ocr
@pytest.mark.slow
def test_a_picture_file(tmp_path):
    path = tmp_path / "shot.webp"
    drawn("Settings", "Keep me signed in", "Version 2.5").save(path, lossless=True)
    first, *rest = list(Picture_().read(path))
    assert (first.caption, first.content is not None) == ("shot.webp", True)
    words = " ".join(block.text for block in rest if isinstance(block, Heading | Paragraph))
    assert words == "Settings Keep me signed in Version 2.5"
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"b\.png: is no picture"):
        list(Picture_().read(tmp_path / "b.png"))


# ----------------------------------------------------------------------------------------- whole documents


@pytest.mark.parametrize(("seed", "columns"), [(1, 1), (3, 2)])
def test_documents_whose_content_is_known(tmp_path, seed, columns):
    made = extraction()
    truth = made.document(seed, chinese=False, most=5 if columns == 1 else 3, sections=3, long_table=40)
    order = made.reportlab_pdf(truth, tmp_path / "a.pdf", seed, chinese=False, columns=columns)
    score = made.compared(order, list(Pdf(ocr="never").read(tmp_path / "a.pdf")))
    assert (score.items_right, score.headings_right, score.cells_right) == (score.items, score.headings, score.cells), (
        score.wrong
    )
    made.word_file(truth, tmp_path / "a.docx")
    score = made.compared(truth.blocks, made.read(tmp_path / "a.docx"))
    assert not score.wrong
    assert any(isinstance(block, Table) for block in truth.blocks)


@pytest.mark.parametrize("number", range(7))
def test_layouts_of_two_columns(tmp_path, number):
    made = extraction()
    name, draft = list(made.LAYOUTS.items())[number]
    order = made.layout_pdf(draft(random.Random(f"17 {number} False"), False), tmp_path / "a.pdf", 17, chinese=False)
    score = made.compared(order, list(Pdf(ocr="never").read(tmp_path / "a.pdf")))
    assert not score.wrong, name
    assert score.items > 10
