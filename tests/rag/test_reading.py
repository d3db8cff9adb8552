"""Files are read elsewhere: whatever a file does to its reader, it fails alone and says why, and the rest is there."""

import json
import os
import resource
import sys
import time
from pathlib import Path

import pytest

from easyrec.errors import ConfigError, DataError
from feature_generator import plugins
from feature_generator.config import member, members, plug
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
from rag.document import Figure, Paragraph, Table
from rag.readers import ReaderConfig
from rag.readers._reading import count

class Config(ReaderConfig):
    """Does what its file says."""
    endings: ClassVar[tuple[str, ...]] = (".odd",)
    type: Literal["odd"] = "odd"

    def lacks(self):
        return () if os.path.exists("extra") else ("extra",)

    def read(self, path):
        does = path.read_text()
        if does == "scan" and self.lacks():
            count("unread_pages")
            return
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
        if does == "chunks":
            for i in range(100):
                yield Paragraph("word " * 300)
        if does == "text":
            for i in range(20):
                yield Table((("x" * 100_000,),), 0)
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


def read(tmp_path, *does, **limits):
    """What files that do this become, one after the other by the same `Reading`."""
    jobs = []
    for number, what in enumerate(does):
        path = tmp_path / f"{number}.odd"
        path.write_text(what)
        jobs.append(Job(path, member("rag.readers", "odd").Config(), Structure()))
    with Reading(ReadingConfig(workers=1, **{"seconds": 60, **limits})) as reading:
        return [found for _, found in reading.all(jobs)]


def test_a_file_that_takes_its_reader_along_fails_alone(odd, tmp_path, monkeypatch):
    monkeypatch.setenv("MODEL_KEY", "secret")
    reasons = {
        "raise": "cannot be read: KeyError: 'what'", "deep": "is nested too deeply",
        "chunks": "more than 40 chunks (knowledge.reading.max_chunks)",
        "text": "more than 1 MB of text (knowledge.reading.max_text_mb)",
        "grow": "needs more than 2048 MB of memory (knowledge.reading.memory_mb)",
        "die": "its reader ended (signal 11)", "fake": "its reader sent what is not to be taken",
    }  # fmt: skip
    told = (*reasons, "secret", "picture", "print")
    *found, secret, pictures, last = read(tmp_path, *told, max_chunks=40, max_text_mb=1, picture_mb=1)
    for number, (failed, reason) in enumerate(zip(found, reasons.values(), strict=True)):
        assert isinstance(failed, DataError)
        assert str(failed).startswith(f"{tmp_path / f'{number}.odd'}: ")
        assert reason in str(failed)
    assert "PATH" in secret.chunks[0].text
    assert "MODEL_KEY" not in secret.chunks[0].text
    # What packages print is not taken for what a file says.
    assert [chunk.text for chunk in last.chunks] == ["begun\n\nended"]
    # Pictures come along, within bounds.
    assert [len(content) for content in pictures.pictures.values()] == [1008]
    figures = [(chunk.text, chunk.figure) for chunk in pictures.chunks if chunk.kind == "figure"]
    assert figures == [("A plan", *pictures.pictures), ("Another", None), ("None", None)]
    assert pictures.counts == {"pictures_left_out": 2}


@pytest.mark.slow
def test_a_file_has_its_time(odd, tmp_path):
    hangs, leaves, last = read(tmp_path, "hang", "leave", "nothing", seconds=4)
    assert "was not read in 4 seconds (knowledge.reading.seconds)" in str(hangs)
    assert "its reader ended (exit code 3)" in str(leaves)
    assert len(last.chunks) == 1


def test_the_outcome_is_the_same_however_many_read(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for i in range(12):
        (folder / f"{i:02d}.csv").write_text("a,b\n" + f"{i},x\n" * (1 + 300 * (i % 3 == 0)))
    (folder / "05.csv").write_bytes(b"\0")
    found = []
    for workers in (0, 2):
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


def test_what_is_read_elsewhere_is_cut_here_where_vectors_are_asked_for(tmp_path, model_server):
    model_server.answer = model_server.word_vectors
    embedder = {"type": "server", "base_url": model_server.url, "model": "m", "key_env": "MODEL_KEY"}
    path = tmp_path / "a.docx"
    text = "Cats eat mice. Cats like mice. Stocks fell today. Stocks lost today."
    table = "<w:tbl><w:tr><w:tc>" + hostile.paragraph("x") + "</w:tc></w:tr></w:tbl>"
    path.write_bytes(hostile.word(hostile.paragraph(text) + table))
    found = []
    for workers in (0, 1):
        told = {
            "path": str(tmp_path / f"kb{workers}"), "embedder": embedder, "reading": {"workers": workers},
            "chunker": {"type": "semantic", "percentile": 60, "buffer": 0},
        }  # fmt: skip
        with KnowledgeBase(load_rag({"knowledge": told}).knowledge) as base:
            assert base.add([path]).failed == {}
            found.append([part.chunk for part in base.parts(path.as_posix())])
    assert found[0] == found[1]
    assert [chunk.text for chunk in found[0]][:2] == [
        "Cats eat mice. Cats like mice.",
        "Stocks fell today. Stocks lost today.",
    ]
    with pytest.raises(ConfigError, match=r"'semantic' needs 'knowledge\.embedder'"):
        KnowledgeBase(load_rag({"knowledge": {"path": str(tmp_path / "x"), "chunker": {"type": "semantic"}}}).knowledge)


def test_what_an_extra_was_lacking_for_is_read_when_it_is_there(odd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, does in (("scan", "scan"), ("plain", "")):
        (tmp_path / f"{name}.odd").write_text(does)
    config = load_rag({"knowledge": {"path": "kb", "reading": {"workers": 0}}}).knowledge
    with KnowledgeBase(config) as base:

        def added():
            report = base.add(["scan.odd", "plain.odd"])
            return report.added + report.updated, report.unchanged

        both = ["scan.odd", "plain.odd"]
        assert added() == (both, [])
        assert added() == ([], both)
        (tmp_path / "extra").touch()  # it is installed
        assert added() == (["scan.odd"], ["plain.odd"])
        assert [part.chunk.text for part in base.parts("scan.odd")] == ["begun\n\nended"]
        (tmp_path / "extra").unlink()  # and gone again: what was read stays
        assert added() == ([], both)


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


def ingested(tmp_path, wanted, *, seconds, large, workers):
    """What came of hostile files among others, and how long it took."""
    folder = tmp_path / "docs"
    folder.mkdir()
    expected = hostile.write(folder, wanted, large=large)
    for i in range(5):
        (folder / f"good{i}.md").write_text(f"# Good\n\nThe text of number {i}.\n")
        (folder / f"{i}good.docx").write_bytes(hostile.word(hostile.paragraph(f"The office text of number {i}.")))
    limits = {"workers": workers, "seconds": seconds, "memory_mb": 2048}
    config = load_rag({"knowledge": {"path": str(tmp_path / "kb"), "reading": limits}}).knowledge
    begun = time.monotonic()
    with KnowledgeBase(config) as base:
        report = base.add([folder])
        took = time.monotonic() - begun
        sources = {document.source for document in base.documents()}
        assert len(base.keywords) == base.records.count()[1]
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
    report, _ = ingested(tmp_path, wanted, seconds=60, large=False, workers=1)
    assert len(report.failed) >= 11


@pytest.mark.slow
def test_all_hostile_files_fail_alone_or_are_read_within_bounds(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report, took = ingested(tmp_path, None, seconds=600, large=True, workers=2)
    print(json.dumps({"failed": report.failed, "seconds": report.seconds, "took": took}, indent=1))
    assert len(report.failed) >= 50
    assert not [reason for reason in report.failed.values() if "was not read in" in reason]
    # What takes its reader along is rare: readers bound what they read.
    assert len([reason for reason in report.failed.values() if "its reader ended" in reason]) <= 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KB: of this process
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 3 << 20


def test_a_file_that_may_not_be_read_fails_alone(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = tmp_path / "x.txt"
    path.write_text("x")
    path.chmod(0)
    with KnowledgeBase(load_rag({"knowledge": {"path": str(tmp_path / "kb")}}).knowledge) as base:
        assert "Permission denied" in base.add([path]).failed[path.as_posix()]
