"""The queue in a folder: what stands there, what is damaged, and two who want the same."""

import os
import threading

import pytest

from easyrec.data.queues.files import FilesQueue
from easyrec.errors import LeaseLost, QueueError


@pytest.fixture
def queue(tmp_path):
    made = FilesQueue(tmp_path, "work", clock=lambda: 0.0)
    made.create("job", ["a", "b"])
    return made


def names(queue):
    return sorted(path.name for path in queue.entries.iterdir())


def test_a_slice_is_one_empty_file_whose_name_says_all(queue):
    lease = queue.lease("host name/12", 1.5)
    assert names(queue) == [f"a~1~1~leased~{lease.token}~1500~host-name-12", "b~0~0~waiting"]
    queue.renew(lease)
    queue.complete(lease, 42)
    assert names(queue) == [f"a~3~1~done~{lease.token}~42~host-name-12", "b~0~0~waiting"]
    assert {path.stat().st_size for path in queue.entries.iterdir()} == {0}


def test_nothing_is_left_of_makers_that_came_too_late(queue, tmp_path):
    FilesQueue(tmp_path, "work").create("job", ["a", "b"])
    assert [path.name for path in tmp_path.iterdir()] == ["work-0"]


def test_a_renewal_between_a_look_and_a_grasp_keeps_the_slice(tmp_path):
    now = [0.0]
    holder, other = FilesQueue(tmp_path, "w"), FilesQueue(tmp_path, "w", clock=lambda: now[0])
    holder.create("job", ["a"])
    lease = holder.lease("holder", 10)
    other.status()
    now[0] = 11.0
    look = other._listed

    def late(slices):
        found = look(slices)
        holder.renew(lease)  # after the other one has read the folder
        other._listed = look
        return found

    other._listed = late
    assert not hasattr(other.lease("other", 10), "slice")
    holder.complete(lease, 1)


def test_a_rename_whose_answer_was_lost_counts(queue, monkeypatch):
    """Over a network a change may be made, and sent once more because nothing was heard of it."""
    real = os.rename
    lease = queue.lease("w", 60)

    def twice(self, target):
        real(self, target)
        return real(self, target)

    monkeypatch.setattr("pathlib.Path.rename", twice)
    queue.renew(lease)
    queue.complete(lease, 1)
    assert queue.lease("w", 60).slice == "b"


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda q: (q.entries / "b~0~0~waiting").unlink(), "the entry of slice 'b' is missing"),
        (lambda q: (q.entries / "b~1~1~failed").touch(), "the entry of slice 'b' is there twice"),
        (lambda q: (q.entries / "c~0~0~waiting").touch(), "entries/c~0~0~waiting is of no slice of this work"),
        (lambda q: (q.entries / "b~x~0~waiting").touch(), "entries/b~x~0~waiting is no entry of a queue"),
        (lambda q: (q.entries / "notes.txt").touch(), "entries/notes.txt is no entry of a queue"),
        (lambda q: (q.entries / "b~0~0~sleeping").touch(), "is no entry of a queue"),
        (lambda q: (q.folder / "queue.json").write_text("{"), "queue.json cannot be read"),
        (lambda q: (q.folder / "queue.json").write_text("[]"), "queue.json cannot be read"),
        (lambda q: (q.folder / "queue.json").unlink(), "queue.json is missing"),
    ],
)
def test_a_damaged_queue_is_told_and_not_worked_on(queue, tmp_path, harm, told):
    harm(queue)
    other = FilesQueue(tmp_path, "work")
    for call in (lambda: other.lease("w", 1), other.status):
        with pytest.raises(QueueError, match=rf"is damaged: .*{told}.*remove the queue and start again"):
            call()


def test_what_a_file_system_leaves_behind_is_no_entry(queue):
    (queue.entries / ".nfs0000123").touch()
    assert len(queue.status().entries) == 2


def test_a_later_format_is_told(queue, tmp_path):
    path = queue.folder / "queue.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 9'))
    with pytest.raises(QueueError, match="another version of this program"):
        FilesQueue(tmp_path, "work").status()


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(QueueError, match="the queue's folder refuses"):
        FilesQueue(tmp_path / "taken", "work").create("job", ["a"])


def test_many_who_want_the_same_silent_slice_get_it_once(tmp_path):
    now = [0.0]
    first = FilesQueue(tmp_path, "w", clock=lambda: now[0])
    first.create("job", ["a"])
    old = first.lease("dead", 10)
    others = [FilesQueue(tmp_path, "w", clock=lambda: now[0]) for _ in range(8)]
    for other in others:
        other.status()
    now[0], found, start = 10.0, [], threading.Barrier(8)

    def grasp(queue):
        start.wait()
        found.append(queue.lease("w", 10))

    threads = [threading.Thread(target=grasp, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([one for one in found if hasattr(one, "slice")]) == 1
    with pytest.raises(LeaseLost):
        first.complete(old, 1)
