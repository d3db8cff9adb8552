"""Files are read elsewhere: whatever a file does to its reader, it fails alone and says why, and the rest is there."""

import json
import os
import resource
import sys
import time
from pathlib import Path

import pytest

from easyrec.errors import DataError
from feature_generator import plugins
from feature_generator.config import members, plug
from rag.chunkers.structure import Config as Structure
from rag.config import ReadingConfig, load_rag
from rag.knowledge import KnowledgeBase
from rag.reading import Job, Reading

sys.path.insert(0, str(Path(__file__).parent))
import hostile

pytest.importorskip("tantivy")

ODD = '''
import os, signal, time
from typing import ClassVar, Literal
from rag.document import Figure, Paragraph
from rag.readers import ReaderConfig

class Config(ReaderConfig):
    """Does what its file says."""
    endings: ClassVar[tuple[str, ...]] = (".odd",)
    type: Literal["odd"] = "odd"

    def read(self, path):
        does = path.read_text()
        yield Paragraph("begun")
        if does == "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        if does == "leave":
            os._exit(3)
        if does == "hang":
            time.sleep(3600)
        if does == "grow":
            held = bytearray(3 << 30)
        if does == "raise":
            raise KeyError("what")
        if does == "deep":
            def down(): return down()
            down()
        if does == "print":
            print("D00000002{}" * 100, flush=True)
            os.write(1, b"D00000002{}")
        if does == "many":
            for i in range(10_000):
                yield Paragraph("word " * 300)
        if does == "secret":
            yield Paragraph(" ".join(os.environ))
        if does == "picture":
            yield Figure("A plan", "", b"\\x89PNG\\r\\n\\x1a\\n" + b"x" * 1000)
            yield Figure("Another", "", b"\\x89PNG\\r\\n\\x1a\\n" + b"y" * (2 << 20))
            yield Figure("None", "", b"GIF89a")
        if does == "fake":
            from rag import reader_process
            frame = b'[{"text": 5}]'
            out = next(o for o in __import__("gc").get_objects() if type(o).__name__ == "BufferedWriter" and o.fileno() > 2)
            out.write(b"C%08x" % len(frame) + frame); out.flush()
        yield Paragraph("ended")
'''


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A reader that does what its files say."""
    path = tmp_path_factory.mktemp("plugin") / "odd.py"
    path.write_text(ODD)
    plug(path)
    yield
    plugins.files.pop(("rag.readers", "odd"))
    members.cache_clear()


def read(tmp_path, does, **limits):
    """What a file that does this becomes, with one that is read after it by the same `Reading`."""
    from feature_generator.config import member

    jobs = []
    for name, text in (("a.odd", does), ("b.odd", "nothing")):
        path = tmp_path / name
        path.write_text(text)
        jobs.append(Job(path, member("rag.readers", "odd").Config(), Structure()))
    with Reading(ReadingConfig(workers=1, **{"seconds": 60, **limits})) as reading:
        (_, first), (_, second) = reading.all(jobs)
    assert [chunk.text for chunk in second.chunks] == ["begun\n\nended"]
    return first


@pytest.mark.parametrize(
    ("does", "limits", "reason"),
    [
        ("die", {}, "its reader ended (signal 11)"),
        ("leave", {}, "its reader ended (exit code 3)"),
        ("hang", {"seconds": 4}, "was not read in 4 seconds (knowledge.reading.seconds)"),
        ("grow", {}, "needs more than 2048 MB of memory (knowledge.reading.memory_mb)"),
        ("raise", {}, "cannot be read: KeyError: 'what'"),
        ("deep", {}, "is nested too deeply"),
        ("many", {"max_chunks": 100}, "more than 100 chunks (knowledge.reading.max_chunks)"),
        ("many", {"max_text_mb": 1}, "more than 1 MB of text (knowledge.reading.max_text_mb)"),
        ("fake", {}, "its reader sent what is not to be taken"),
    ],
)
def test_a_file_that_takes_its_reader_along_fails_alone(odd, tmp_path, does, limits, reason):
    found = read(tmp_path, does, **limits)
    assert isinstance(found, DataError)
    assert str(found).startswith(f"{tmp_path / 'a.odd'}: ")
    assert reason in str(found)


def test_what_packages_print_is_not_taken_for_what_a_file_says(odd, tmp_path):
    assert [chunk.text for chunk in read(tmp_path, "print").chunks] == ["begun\n\nended"]


def test_readers_are_not_told_secrets(odd, tmp_path, monkeypatch):
    monkeypatch.setenv("MODEL_KEY", "secret")
    assert "MODEL_KEY" not in read(tmp_path, "secret").chunks[0].text


def test_pictures_come_along_within_bounds(odd, tmp_path):
    found = read(tmp_path, "picture", picture_mb=1)
    assert [len(content) for content in found.pictures.values()] == [1008]
    figures = [(chunk.text, chunk.figure) for chunk in found.chunks if chunk.kind == "figure"]
    assert figures == [("A plan", *found.pictures), ("Another", None), ("None", None)]
    assert found.counts == {"pictures_left_out": 2}


def test_the_outcome_is_the_same_however_many_read(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for i in range(12):
        (folder / f"{i:02d}.csv").write_text("a,b\n" + f"{i},x\n" * (1 + 300 * (i % 3 == 0)))
    (folder / "05.csv").write_bytes(b"\0")
    found = []
    for workers in (0, 3):
        told = {"path": str(tmp_path / f"kb{workers}"), "reading": {"workers": workers}}
        with KnowledgeBase(load_rag({"knowledge": told}).knowledge) as base:
            names = []
            report = base.add([folder], under=folder, progress=names.append)
            assert sorted(names) == sorted([*report.added, *report.failed])
            assert set(report.seconds) == {"read", "cut", "write", "index", "whole"}
            assert list(report.failed) == ["05.csv"]
            found.append([(part.id, part.source, part.chunk) for part in base.records.after(0, 1000)])
    assert found[0] == found[1]
    assert len(found[0]) > 12


def test_names_are_told_from_a_folder_on(tmp_path):
    for name in ("a/x.txt", "b/x.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(f"The text of {name}.")
    with KnowledgeBase(load_rag({"knowledge": {"path": str(tmp_path / "kb")}}).knowledge) as base:
        report = base.add([tmp_path / "a", tmp_path / "b"], under=tmp_path)
        assert report.added == ["a/x.txt", "b/x.txt"]
        assert base.original("a/x.txt") == tmp_path / "a/x.txt"
        assert base.original("none") is None
        assert list(base.add([tmp_path / "a"], under=tmp_path / "b").failed.values()) == [
            f"{tmp_path}/a/x.txt: is not below {tmp_path}/b"
        ]
        base.add([tmp_path / "a"], {"access": ["hr"]}, under=tmp_path)
        assert base.original("a/x.txt", ()) is None
        assert base.original("a/x.txt", ("hr",)) is not None
        (tmp_path / "a/x.txt").unlink()
        assert base.original("a/x.txt") is None
        base.remove("b/x.txt")
        assert {hit.part.source for hit in base.search("text")} == {"a/x.txt"}


# ------------------------------------------------------------------------------------------------- hostile


def ingested(tmp_path, wanted, *, seconds, large):
    """What came of hostile files among others, and how long it took."""
    folder = tmp_path / "docs"
    folder.mkdir()
    expected = hostile.write(folder, wanted, large=large)
    for i in range(5):
        (folder / f"good{i}.md").write_text(f"# Good\n\nThe text of number {i}.\n")
        (folder / f"{i}good.docx").write_bytes(hostile.word(hostile.paragraph(f"The office text of number {i}.")))
    limits = {"workers": 2, "seconds": seconds, "memory_mb": 1024}
    config = load_rag({"knowledge": {"path": str(tmp_path / "kb"), "reading": limits}}).knowledge
    begun = time.monotonic()
    with KnowledgeBase(config) as base:
        report = base.add([folder])
        took = time.monotonic() - begun
        sources = {document.source for document in base.documents()}
        assert len(base.keywords) == base.records.count()[1]
        assert base.add([folder]).added == []
    assert sum("good" in source for source in sources) == 10
    assert set(report.added) == sources
    wrong = {}
    for name, (comes, reason) in expected.items():
        failed = report.failed.get(name)
        if (failed is None) != (name in sources):
            wrong[name] = f"failed: {failed}, there: {name in sources}"
        elif comes == hostile.FAILS and (failed is None or reason not in failed):
            wrong[name] = f"{failed or 'was read'}, but should fail: {reason}"
        elif comes == hostile.READ and failed is not None:
            wrong[name] = f"{failed}, but should be read"
        elif failed is not None and "\n" in failed:
            wrong[name] = "its reason has several lines"
    assert not wrong, json.dumps(wrong, indent=1)
    return report, took


def test_some_hostile_files_fail_alone(tmp_path):
    wanted = {
        "bomb.docx", "truncated.xlsx", "closed.pdf", "laughs.docx", "wide.csv", "line\nbreak.txt", b"bytes\xff.txt", "pipe.txt",
        "loop.txt", "halves.jsonl", "zeros.md", "picture.pdf",
    }  # fmt: skip
    report, _ = ingested(tmp_path, wanted, seconds=60, large=False)
    assert len(report.failed) >= 11


@pytest.mark.slow
def test_all_hostile_files_fail_alone_or_are_read_within_bounds(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report, took = ingested(tmp_path, None, seconds=120, large=True)
    print(json.dumps({"failed": report.failed, "seconds": report.seconds, "took": took}, indent=1))
    assert len(report.failed) >= 50
    assert not [
        reason for reason in report.failed.values() if "was not read in" in reason or "its reader ended" in reason
    ]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KB: of this process
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2 << 20


def test_a_file_that_may_not_be_read_fails_alone(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = tmp_path / "x.txt"
    path.write_text("x")
    path.chmod(0)
    with KnowledgeBase(load_rag({"knowledge": {"path": str(tmp_path / "kb")}}).knowledge) as base:
        assert "Permission denied" in base.add([path]).failed[path.as_posix()]
