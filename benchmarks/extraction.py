"""How well documents are read whose content is known: cells of tables, reading order, levels of headings, characters of scans.

`python benchmarks/extraction.py [--seeds 3] [--layouts 3] [--scans 4] [--pages 1600] [--first 0] [--keep FOLDER]`

Documents are made by reportlab, Chromium (where it is installed), python-docx, python-pptx and openpyxl, in several layouts and
fonts, in English and Chinese; scans are drawings of such pages, turned, skewed and made noisy. Another `--first` gives others.
What makes them lies in `documents`, and what counts.
"""

# ruff: noqa: PLC0415, S311 (packages that make documents are imported where they do; documents are no secrets)
from __future__ import annotations

import argparse
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

from documents.by_browser import chromium_pdf, html_of
from documents.by_office import excel_file, powerpoint_file, word_file
from documents.by_reportlab import reportlab_pdf
from documents.layouts import LAYOUTS, layout_pdf
from documents.measures import Score, compared
from documents.scan import scanned
from documents.truth import CHINESE_FONT, document, sentence, title

from rag.document import Block, Paragraph, Table
from rag.pages.page import joined
from rag.readers import reader_of
from rag.readers.pdf import Config as Pdf


def undecided(truth: list[Block], found: list[Block]) -> list[Block]:
    """What was read, with paragraphs as in the document where nobody could tell.

    A line that is full and ends a sentence at the end of a page, and no indent after it: the paragraph may go on or not.
    """
    apart = {
        joined([a.text, b.text]): (a, b)
        for a, b in pairwise(truth)
        if isinstance(a, Paragraph) and isinstance(b, Paragraph)
    }
    made: list[Block] = []
    for block, after in zip_longest(found, found[1:]):
        last = after is None or (after.place.page or 0) > (block.place.page or 0)
        made += apart.get(block.text, (block,)) if last and isinstance(block, Paragraph) else (block,)
    return made


def read(path: Path) -> list[Block]:
    return list(reader_of(path).read(path))


def texts(folder: Path, seeds: Iterable[int]) -> dict[str, Score]:
    """Documents with text in them."""
    found: dict[str, Score] = {}

    def add(name: str, score: Score) -> None:
        found[name] = found.get(name, Score()) + score

    chromium = shutil.which("chromium") is not None
    languages = [False, True] if CHINESE_FONT.exists() else [False]
    for seed in seeds:
        for chinese in languages:
            kind = f"{seed}-{'zh' if chinese else 'en'}"
            for columns in (1, 2):
                truth = document(seed * 2 + chinese + 1000 * columns, chinese=chinese, most=5 if columns == 1 else 3)
                path = folder / f"{kind}-{columns}.pdf"
                order = reportlab_pdf(truth, path, seed, chinese=chinese, columns=columns)
                add(f"PDF by reportlab, {columns} column(s)", compared(order, read(path)))
                if chromium:
                    path = folder / f"{kind}-{columns}-chromium.pdf"
                    if columns == 2:  # paragraphs that have some lines in each column
                        truth = document(seed * 2 + chinese + 1000 * columns, chinese=chinese, most=3, least=5)
                    chromium_pdf(html_of(truth, seed, columns=columns, chinese=chinese), path)
                    told = undecided(truth.blocks, read(path)) if columns == 1 else read(path)
                    add(f"PDF by Chromium, {columns} column(s)", compared(truth.blocks, told))
            path = folder / f"{kind}.html"
            path.write_text(html_of(truth, seed), encoding="utf-8")
            add("HTML", compared(truth.blocks, read(path)))
            word_file(truth, folder / f"{kind}.docx")
            add("Word", compared(truth.blocks, read(folder / f"{kind}.docx")))
            for name, write in (("xlsx", excel_file), ("pptx", powerpoint_file)):
                write(truth, folder / f"{kind}.{name}")
                add(
                    {"xlsx": "Excel", "pptx": "PowerPoint"}[name],
                    compared(truth.blocks, _tables(read(folder / f"{kind}.{name}")), only=Table),
                )
    return found


def _tables(blocks: list[Block]) -> list[Block]:
    return [block for block in blocks if isinstance(block, Table)]


def layouts(folder: Path, seeds: Iterable[int]) -> dict[str, Score]:
    """Layouts of two columns with text in them; their pictures say nothing."""
    found: dict[str, Score] = {}
    for seed in seeds:
        for chinese in [False, True] if CHINESE_FONT.exists() else [False]:
            for number, (name, made) in enumerate(LAYOUTS.items()):
                path = folder / f"{name.replace(' ', '-')}-{seed}-{'zh' if chinese else 'en'}.pdf"
                order = layout_pdf(
                    made(random.Random(f"{seed} {number} {chinese}"), chinese), path, seed, chinese=chinese
                )
                score = compared(order, list(Pdf(ocr="never").read(path)))
                score.wrong = [f"{path.name}: {told}" for told in score.wrong]
                found[name] = found.get(name, Score()) + score
    return found


def scans(folder: Path, count: int, first: int, *, skewed: bool = False) -> tuple[dict[str, Score], float]:
    """Scanned documents, and the processor's seconds a page; skewed ones are all in two columns."""
    found: dict[str, Score] = {}
    angles = [0.0, 90.0, 1.3, 180.0, 270.0, -2.2, 91.1, 3.0]
    seconds, pages = 0.0, 0
    languages = [False, True] if CHINESE_FONT.exists() else [False]
    for number in range(count):
        seed = first + number
        chinese = languages[number % len(languages)]
        columns = 2 if skewed else 1 + (number // 2) % 2
        rng = random.Random(seed)
        truth = document(
            900 + seed, chinese=chinese, sections=2, notes=False, long_table=0, most=5 if columns == 1 else 3
        )
        source, path = folder / f"scan-{seed}-{columns}-text.pdf", folder / f"scan-{seed}-{columns}.pdf"
        order = reportlab_pdf(truth, source, seed, chinese=chinese, columns=columns, look=seed % 3)
        angle = round(rng.uniform(-3, 3), 2) if skewed else angles[seed % len(angles)]
        noise = rng.uniform(2, 8) if skewed else 4.0
        scanned(source, path, seed, angle=angle, dpi=(200, 150, 300)[seed % 3], noise=noise)
        begun = time.process_time()
        blocks = read(path)
        seconds += time.process_time() - begun
        pages += max(block.place.page or 1 for block in blocks)
        name = f"{'skewed scans of two columns' if skewed else 'scans'}, {'Chinese' if chinese else 'English'}"
        score = compared(order, blocks, read=True)
        score.wrong = [f"{path.name} at {angle}: {told}" for told in score.wrong]
        found[name] = found.get(name, Score()) + score
    return found, seconds / max(pages, 1)


def long_file(folder: Path, pages: int) -> dict[str, Any]:
    """A long PDF, read in a process of its own: pages a second of its processor, and its memory."""
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen.canvas import Canvas

    path = folder / "long.pdf"
    canvas = Canvas(str(path), pagesize=A4)
    rng = random.Random(5)
    for number in range(pages):
        canvas.setFont("Helvetica-Bold", 16)
        canvas.drawString(60, 780, title(rng, False))
        canvas.setFont("Helvetica", 10)
        for line in range(50):
            canvas.drawString(60, 750 - 14 * line, sentence(rng, False)[:95])
        canvas.drawString(290, 24, str(number + 1))
        canvas.showPage()
    canvas.save()
    code = (
        "import re, sys, time; from pathlib import Path; from rag.readers import reader_of\n"
        "path = Path(sys.argv[1]); begun = time.process_time(); blocks = 0\n"
        "for block in reader_of(path).read(path): blocks += 1\n"
        # ru_maxrss of a new process is that of the one that started it, if that was larger.
        "peak = re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text()).group(1)\n"
        "print(time.process_time() - begun, peak, blocks)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True
    ).stdout.split()
    return {
        "pages": pages,
        "megabytes": path.stat().st_size >> 20,
        "pages/s": pages / float(out[0]),
        "peak MB": int(out[1]) / 1024,
    }


def main() -> None:
    """Measure all, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="documents of each kind and language")
    parser.add_argument("--layouts", type=int, default=3, help="documents of each layout and language")
    parser.add_argument("--scans", type=int, default=4, help="scanned documents")
    parser.add_argument("--skewed", type=int, default=4, help="scanned documents in two columns, all of them skewed")
    parser.add_argument("--pages", type=int, default=1600, help="of the long PDF; 0: none")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--keep", type=Path, help="folder where documents stay")
    parser.add_argument("--save", action="store_true", help="write a dated result")
    given = parser.parse_args()
    from record import save
    from record import table as printed

    with tempfile.TemporaryDirectory() as made:
        folder = given.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        scores = texts(folder, range(given.first, given.first + given.seeds))
        scores |= layouts(folder, range(given.first, given.first + given.layouts))
        each = 0.0
        for count, skewed in ((given.skewed, True), (given.scans, False)):
            if count:
                more, each = scans(folder, count, given.first, skewed=skewed)
                scores |= more
        for name, score in scores.items():
            for told in score.wrong[:12]:
                print(f"{name}: {told}")
        rows = [score.row(name) for name, score in scores.items()]
        printed(rows)
        if each:
            print(
                f"{each:.1f} processor seconds a scanned page; peak of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB"
            )
        long = long_file(folder, given.pages) if given.pages else {}
        if long:
            printed([long])
        if given.save:
            save("extraction", {"scores": rows, "seconds_a_scanned_page": each, "long": long})


if __name__ == "__main__":
    main()
