"""The queue in a file of SQLite: what is damaged, held by others, or of something else."""

import sqlite3

import pytest

from easyrec.data.queues.sqlite import SqliteQueue
from easyrec.errors import QueueError


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "q.db"
    queue = SqliteQueue(path, "work")
    queue.create("job", ["a", "b"])
    queue.close()
    return path


def test_a_database_of_something_else_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "mine.db") as other:
        other.execute("CREATE TABLE precious (x)")
    other.close()
    with pytest.raises(QueueError, match="is a database of something else: name another file"):
        SqliteQueue(tmp_path / "mine.db", "work").create("job", ["a"])


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "q.db").write_text("hello, this is a text and no database at all" * 50)
    with pytest.raises(QueueError, match=r"is damaged: file is not a database"):
        SqliteQueue(tmp_path / "q.db", "work").create("job", ["a"])


def test_a_torn_file_is_told(path):
    queue = SqliteQueue(path, "work")
    queue.create("job", ["a", "b"])
    queue.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(QueueError, match="is damaged"):
        SqliteQueue(path, "work").status()


def test_a_slice_that_was_taken_out_is_told(path):
    with sqlite3.connect(path) as other:
        other.execute("DELETE FROM slices WHERE slice = 'b'")
    other.close()
    queue = SqliteQueue(path, "work")
    with pytest.raises(QueueError, match="is damaged: it holds 1 of 2 slices"):
        queue.status()
    queue.close()


def test_a_later_format_is_told(path):
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 9")
    other.close()
    queue = SqliteQueue(path, "work")
    with pytest.raises(QueueError, match="another version of this program"):
        queue.create("job", ["a", "b"])
    queue.close()


def test_a_file_that_others_hold_is_told_after_a_bounded_wait(path):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    queue = SqliteQueue(path, "work", patience=0.05)
    with pytest.raises(QueueError, match=r"other processes have held it for 0\.05 s"):
        queue.lease("w", 1)
    other.execute("ROLLBACK")
    other.close()
    assert queue.lease("w", 1).slice == "a"
    queue.close()


def test_a_removed_file_is_a_queue_that_is_gone(path):
    queue = SqliteQueue(path, "work")
    assert queue.lease("w", 1).slice == "a"
    for file in path.parent.glob("q.db*"):
        file.unlink()
    with pytest.raises(QueueError, match="there is no such queue"):
        queue.lease("w", 1)
    queue.create("job", ["a", "b"])
    assert queue.lease("w", 1).slice == "a"
    queue.close()
