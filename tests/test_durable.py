import sqlite3

import pytest

from easyrec.durable import write_ahead, write_text
from easyrec.errors import RunError


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "a.txt"
    for text in ("first", "zweiter, länger"):
        write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_where_the_disk_refuses_the_former_file_stays_and_nothing_else(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "a.txt"
    write_text(path, "former")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(RunError, match=r"cannot write .*a\.txt: File too large"):
            write_text(path, "x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text() == "former"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_database_that_another_one_writes_is_waited_for(tmp_path):
    file = tmp_path / "x.db"
    ours, theirs = (sqlite3.connect(file, timeout=60, isolation_level=None) for _ in range(2))
    theirs.execute("CREATE TABLE t (x)")
    theirs.execute("BEGIN IMMEDIATE")  # as one that makes the tables has; SQLite waits for none such
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        write_ahead(ours, 0.0)
    waited = []

    def wait(seconds):
        waited.append(seconds)
        if len(waited) == 3:
            theirs.execute("COMMIT")

    write_ahead(ours, 60.0, wait=wait)
    assert len(waited) == 3
    assert ours.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    ours.close()
    theirs.close()
