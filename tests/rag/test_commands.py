"""`easyrec rag`: what was left out is told, what is missing is named, and the server's knowledge bases can be looked at."""

import json
import subprocess
import sys

import pytest

from easyrec.cli import main
from rag.config import load_rag
from rag.server.shelf import Shelf

pytest.importorskip("tantivy")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a config, where commands run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rag.yaml").write_text("knowledge: {path: kb}\nserver: {root: bases}\n")
    return tmp_path


def rag(tool, *words):
    return main(["rag", tool, "-c", "rag.yaml", *words])


def test_files_that_no_reader_knows_are_told(here, capsys):
    (here / "docs" / "sub").mkdir(parents=True)
    for name in ("a.txt", "b.svg", "sub/c.svg", "Makefile"):
        (here / "docs" / name).write_text("Refunds take five days.")
    for words in (["docs"], ["docs", "--preview"]):
        assert rag("ingest", *words) == 0
        told = capsys.readouterr().out
        assert "2 with .svg, 1 with no ending" in told
        assert "docs/sub/c.svg" in told
        assert "  docs/a.txt" not in told


@pytest.mark.parametrize("words", [[], ["--preview"]], ids=["ingest", "preview"])
def test_a_folder_without_documents_is_an_error_unless_that_is_allowed(here, capsys, words):
    (here / "empty").mkdir()
    assert rag("ingest", "empty", *words) == 3
    assert "empty: holds no file that a reader knows" in capsys.readouterr().err
    assert rag("ingest", "empty", "--allow-empty", *words) == 0


def test_documents_are_pruned(here, capsys):
    (here / "docs").mkdir()
    for name in ("a.txt", "b.txt"):
        (here / "docs" / name).write_text("Refunds take five days.")
    assert rag("ingest", "docs") == 0
    (here / "docs" / "b.txt").unlink()
    assert rag("ingest", "docs") == 0
    assert "removed" not in capsys.readouterr().out
    assert rag("ingest", "docs", "--prune") == 0
    assert "docs/b.txt: removed, since its file is gone" in capsys.readouterr().out
    (here / "docs" / "a.txt").unlink()
    assert rag("ingest", "docs", "--prune", "--allow-empty") == 3
    assert "docs: is empty: 1 documents" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tool", "words", "text"),
    [
        ("ingest", [], "PATH is missing"),
        ("ingest", ["--preview"], "PATH is missing"),
        ("ingest", ["--fact", "team=shop", "docs"], "--fact: 'docs' is not NAME=VALUE"),
        ("search", ["refund", "--filter", "team"], "--filter: 'team' is not NAME=VALUE"),
        ("search", ["--filter", "team=shop", "refund"], "QUESTION is missing"),
        ("show", ["--base", "one"], "no knowledge bases in 'bases'"),
        ("search", ["refund", "-k", "0"], "must be greater than or equal to 1"),
    ],
)
def test_what_is_missing_is_named(here, capsys, tool, words, text):
    assert rag(tool, *words) == 2
    assert text in capsys.readouterr().err


def test_what_only_reads_makes_no_knowledge_base(here, capsys):
    for tool in ("search", "ask"):
        assert rag(tool, "refund") == 2
        assert "kb: there is no knowledge base; `easyrec rag ingest` makes one" in capsys.readouterr().err
    assert not (here / "kb").exists()


def test_a_knowledge_base_without_documents_is_told(here, capsys):
    (here / "empty").mkdir()
    assert rag("ingest", "empty", "--allow-empty") == 0
    capsys.readouterr()
    assert rag("search", "refund") == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("nothing was found\n", "kb: holds no documents; `easyrec rag ingest` adds some\n")
    (here / "a.txt").write_text("Refunds take five days.")
    assert rag("ingest", "a.txt") == 0
    capsys.readouterr()
    assert rag("search", "holiday") == 0
    assert capsys.readouterr().err == ""


def test_an_empty_question_is_none(here, capsys):
    (here / "a.txt").write_text("Refunds take five days.")
    assert rag("ingest", "a.txt") == 0
    assert rag("search", "  ") == 3
    assert "the question is empty" in capsys.readouterr().err
    (here / "qa.jsonl").write_text('{"question": " "}')
    assert rag("eval", "--questions", "qa.jsonl", "--search-only") == 3
    assert "qa.jsonl, line 1: question" in capsys.readouterr().err


def test_a_knowledge_base_of_the_server_is_looked_at_and_changed(here, capsys):
    shelf = Shelf(here / "bases", load_rag("rag.yaml"), 2)
    shelf.create("one", {"search": {"k": 1}})
    shelf.bases.open("one").add_text("notes/refunds", "Refunds take five days.")
    shelf.bases.open("one").add_text("notes/cards", "Refunds go to the card.")
    shelf.close()
    assert rag("show", "--base", "one", "--document", "notes/refunds", "--json") == 0
    number = json.loads(capsys.readouterr().out)["id"]
    (here / "text.txt").write_text("Refunds take six days.")
    assert rag("edit", "--base", "one", str(number), "--text", "text.txt") == 0
    capsys.readouterr()
    for words, found in ([], 1), (["-k", "2"], 2):  # its own setting, unless the command line says otherwise
        assert rag("search", "--base", "one", "refunds six", "--json", *words) == 0
        hits = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert len(hits) == found
        assert hits[0]["text"] == "Refunds take six days."
    assert rag("edit", "--base", "one", str(number), "999", "--drop") == 3
    assert "there is no chunk 999" in capsys.readouterr().err
    assert rag("show", "--base", "one", "--document", "notes/refunds", "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == number, "none goes where not all can"
    assert rag("show", "--base", "onee") == 2
    assert "no knowledge base 'onee'; did you mean 'one'" in capsys.readouterr().err
    assert not (here / "kb").exists()


def test_k_holds_where_the_pipeline_says_another(here, capsys):
    (here / "rag.yaml").write_text(
        "knowledge: {path: kb}\nllm: {base_url: 'http://127.0.0.1:9/v1', model: m}\npipeline: [{type: search, k: 3}, answer]\n"
    )
    for number in range(4):
        (here / f"{number}.txt").write_text(f"Refund number {number}.")
    assert rag("ingest", *(f"{number}.txt" for number in range(4))) == 0
    capsys.readouterr()
    assert rag("search", "refund", "-k", "2", "--json") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_process_that_reads_files_waits_for_neither_arrow_nor_features():
    heavy = ("pyarrow", "feature_generator.generator", "torch", "httpx", "tantivy")
    code = f"import sys, rag.reader_process; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
