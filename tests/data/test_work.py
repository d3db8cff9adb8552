"""Workers: each slice once whoever dies, parts whole or not at all, and errors that end what they must and no more."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.data.parts import Parts
from easyrec.data.queues import queue_config
from easyrec.data.queues.files import FilesQueue
from easyrec.data.slices import Slice
from easyrec.data.work import Worker
from easyrec.errors import ConfigError, DataError, LeaseLost, QueueError, QueueGone, RunError

ROOT = Path(__file__).parents[2]
JOB = {"work": "test", "rows": "here"}


def slices(number):
    return [Slice(f"{n:05}", (), n + 1) for n in range(number)]


def written(slice, path, rows=None):
    number = int(slice.name)
    rows = number + 1 if rows is None else rows
    pq.write_table(pa.table({"slice": [number] * rows, "row": range(rows)}), path)
    return rows


@pytest.fixture
def place(tmp_path):
    return queue_config({"type": "files", "path": str(tmp_path / "queue"), "lease_seconds": 600})


@pytest.fixture
def worker(tmp_path, place):
    def made(number=4, job=JOB, **options):
        return Worker(place, slices(number), Parts(tmp_path / "out", job), **options)

    return made


def found(folder):
    """(slice, row) of all parts."""
    tables = [pq.read_table(path) for path in sorted(folder.glob("*.parquet"))]
    return [tuple(row.values()) for table in tables for row in table.to_pylist()]


def expected(number):
    return [(slice, row) for slice in range(number) for row in range(slice + 1)]


def test_one_worker_does_all_and_says_so(worker, tmp_path, caplog):
    caplog.set_level(logging.INFO, "easyrec.data")
    done = worker().run(written)
    assert (done.slices, done.rows) == (4, 10)
    assert found(tmp_path / "out") == expected(4)
    told = json.loads((tmp_path / "out" / "_SUCCESS").read_text())
    assert (told["slices"], told["rows"], told["job"]) == (4, 10, JOB)
    assert told["parts"] == {"00000": 1, "00001": 2, "00002": 3, "00003": 4}
    assert "4 slices with 10 rows are there, 4 of them done here" in caplog.text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *(f"0000{n}.parquet" for n in range(4)),
        "_JOB.json",
        "_SUCCESS",
    ]


def test_started_again_it_does_nothing_and_what_was_removed_is_made_anew(worker, tmp_path):
    worker().run(written)
    assert worker().run(written).slices == 0
    (tmp_path / "out" / "00002.parquet").unlink()
    assert worker().run(written).slices == 1
    assert found(tmp_path / "out") == expected(4)


def test_a_lost_queue_makes_no_part_again(worker, place, tmp_path):
    worker().run(written)
    place.open().remove()
    made = []
    assert worker().run(lambda slice, path: made.append(slice) or written(slice, path)).rows == 10
    assert made == []


def test_a_queue_that_is_lost_while_working_is_made_again(worker, place, tmp_path):
    begun = []

    def make(slice, path):
        begun.append(slice.name)
        if len(begun) == 3:
            place.open().remove()
        return written(slice, path)

    assert worker().run(make).rows == 10
    assert found(tmp_path / "out") == expected(4)
    assert begun == ["00000", "00001", "00002", "00002", "00003"]

    with pytest.raises(QueueGone):
        worker(queue=_Forgetful(tmp_path, "forgetful")).run(written)


class _Forgetful(FilesQueue):
    """A queue in a store that forgets at once."""

    def lease(self, worker, seconds):
        self.remove()
        return super().lease(worker, seconds)


def test_bad_slices_are_named_after_the_others_are_done(worker, tmp_path):
    tries = []

    def make(slice, path):
        if slice.name == "00001":
            tries.append(slice)
            raise DataError("no number", column="price", row=3, file="rows.parquet")
        if slice.name == "00002" and not tries[1:]:
            tries.append(slice)
            raise ZeroDivisionError("once")
        return written(slice, path)

    with pytest.raises(QueueError) as caught:
        worker().run(make)
    assert str(caught.value).splitlines() == [
        "1 of 4 slices failed, the others are done:",
        "  00001, tried 3 times: no rows: rows.parquet, row 3, column 'price': no number",
        "mend the cause and start again: only these are tried anew",
    ]
    assert [path.name for path in sorted((tmp_path / "out").glob("*.parquet"))] == [
        f"0000{n}.parquet" for n in (0, 2, 3)
    ]
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert worker().run(written).slices == 1
    assert found(tmp_path / "out") == expected(4)


@pytest.mark.parametrize(
    "error", [ConfigError("wrong"), OSError(28, "No space left on device"), RunError("cannot write")]
)
def test_a_workers_own_trouble_ends_it_and_costs_no_attempt(worker, place, error):
    def make(slice, path):
        path.write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        worker().run(make)
    assert {(entry.state, entry.attempts) for entry in place.open().status().entries} == {("waiting", 0)}
    assert worker().run(written).slices == 4


def test_an_interrupted_worker_gives_its_slice_back(worker, place):
    def make(slice, path):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker().run(make)
    assert place.open().status().counts == {"waiting": 4}


def test_without_waiting_it_leaves_where_others_hold_the_rest(worker, place, tmp_path, caplog):
    caplog.set_level(logging.INFO, "easyrec.data")
    parts = Parts(tmp_path / "out", JOB)
    queue = place.open()
    queue.create(parts.identity, [slice.name for slice in slices(4)])
    lease = queue.lease("other", 600)
    done = worker(wait=False).run(written)
    assert (done.slices, done.rows) == (3, None)
    assert "3 slices done here; the rest is held by other workers" in caplog.text
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    written(slices(1)[0], parts.path("00000"))
    queue.complete(lease, 1)
    assert worker(wait=False).run(written).rows == 10
    assert (tmp_path / "out" / "_SUCCESS").exists()


def test_who_lost_its_slice_while_working_publishes_nothing(worker, place, tmp_path, caplog):
    queue = place.open()

    class Lost(FilesQueue):
        def renew(self, lease):
            raise LeaseLost(f"slice '{lease.slice}' is no longer held by {lease.worker}")

    lost = Lost(tmp_path / "queue", "work")
    calls = []

    def make(slice, path):
        calls.append(slice.name)
        if len(calls) == 4:  # meanwhile others have done all, and tidied up
            for lease in lost.status().those("leased"):
                written(Slice(lease.slice, (), None), tmp_path / "out" / f"{lease.slice}.parquet")
            for entry in list(lost._own.values()):
                queue.complete(lost_lease(entry), int(entry.slice) + 1)
        return written(slice, path)

    def lost_lease(file):
        from easyrec.data.queues import Lease

        return Lease(file.slice, file.token, file.attempts, 600, file.worker)

    assert worker(queue=lost).run(make).slices == 0
    assert calls == ["00000", "00001", "00002", "00003"]
    assert found(tmp_path / "out") == expected(4)
    assert caplog.text.count("is no longer held") == 4


def test_a_part_with_other_rows_than_its_slice_is_refused(worker):
    with pytest.raises(QueueError, match=r"00002, tried 3 times: no rows: 1 rows were written of 3"):
        worker(exact=True).run(lambda slice, path: written(slice, path, 1 if slice.name == "00002" else None))


# ------------------------------------------------------------------------------------------ the folder


def test_a_folder_of_other_work_is_refused(worker, tmp_path):
    worker().run(written)
    with pytest.raises(RunError, match=r"holds parts of other work \(rows differ\): name a new folder"):
        worker(job={**JOB, "rows": "there"}).run(written)


def test_a_folder_with_something_else_is_refused(worker, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("")
    with pytest.raises(RunError, match=r"holds thesis\.tex, which no queue made"):
        worker().run(written)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda out: (out / "00001.parquet").write_bytes(b"PAR1"), r"00001\.parquet is damaged"),
        (lambda out: written(slices(2)[1], out / "00001.parquet", 7), r"00001\.parquet has 7 rows, .* counted 2"),
        (lambda out: written(slices(1)[0], out / "00009.parquet"), r"00009\.parquet is of no slice"),
    ],
)
def test_parts_are_checked_before_success_is_told(worker, tmp_path, harm, told):
    out = tmp_path / "out"
    worker().run(written)
    (out / "_SUCCESS").unlink()
    harm(out)
    with pytest.raises(RunError, match=told):
        worker().run(written)
    assert not (out / "_SUCCESS").exists()


def test_leftovers_of_killed_workers_are_tidied_up(worker, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".00001.parquet.0123456789abcdef.writing").write_bytes(b"half")
    worker().run(written)
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


@pytest.fixture
def tiny(tmp_path):
    """A disk of 256 kB."""
    path = tmp_path / "disk"
    path.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", path], check=False).returncode
    ):
        pytest.skip("only root, where the system lets it, can make a tiny disk")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_a_full_disk_is_told_keeps_no_halves_and_costs_no_attempt(place, tiny):
    ballast = tiny / "ballast"
    parts = Parts(tiny / "out", JOB)
    parts.prepare()
    size = os.statvfs(tiny).f_bavail * os.statvfs(tiny).f_bsize

    def make(slice, path):
        if slice.name == "00002" and not ballast.exists():
            ballast.write_bytes(b"x" * (size - 48 * 1024))
        pq.write_table(pa.table({"x": os.urandom(64 * 1024).hex(" ").split()}), path, compression="none")
        return 64 * 1024

    with pytest.raises((RunError, OSError), match="No space left"):
        Worker(place, slices(4)[2:], parts).run(make)
    assert place.open().status().counts == {"waiting": 2}
    assert [path.name for path in parts.folder.iterdir()] == ["_JOB.json"]


def test_on_a_full_disk_a_queue_of_files_goes_on(tiny):
    queue = FilesQueue(tiny, "work")
    queue.create("job", ["a", "b"])
    with pytest.raises(OSError, match="No space left"):
        (tiny / "ballast").write_bytes(b"x" * 300_000)
    first = queue.lease("w", 60)
    queue.renew(first)
    queue.complete(first, 1)
    queue.fail(queue.lease("w", 60), "a long story " * 1000)
    assert queue.status().counts == {"done": 1, "waiting": 1}


def test_on_a_full_disk_no_queue_is_made_by_half(tiny):
    with pytest.raises(OSError, match="No space left"):
        (tiny / "ballast").write_bytes(b"x" * 300_000)
    with pytest.raises(QueueError, match="No space left"):
        FilesQueue(tiny, "work").create("j" * 10_000, ["a", "b"])
    assert [path.name for path in tiny.iterdir()] == ["ballast"]
    begun = time.monotonic()
    with pytest.raises(QueueError, match=r"cannot be used: (database or disk is full|unable to open|disk I/O error)"):
        queue_config(f"sqlite:{tiny}/q.db").open().create("job", ["a", "b"])
    assert time.monotonic() - begun < 20  # it is no reason to wait, as other writers are


# --------------------------------------------------------------------------------------- processes


class Forks:
    """Workers in processes of their own; see `queue_worker.py`."""

    def __init__(self, folder):
        self.folder, self.number = folder, 0
        path = Path(__file__).with_name("queue_worker.py")
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": env}
        self.process = subprocess.Popen([sys.executable, path], **pipes)

    def asked(self, order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(self, **order):
        """A worker's process id, and the slices that it begins, line by line."""
        self.number += 1
        pipe = self.folder / str(self.number)
        os.mkfifo(pipe)
        return self.asked({"pipe": str(pipe), **order}), pipe.open()

    def end(self, pid):
        """What it ended with."""
        return self.asked(pid)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def forks(tmp_path_factory):
    made = Forks(tmp_path_factory.mktemp("pipes"))
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["files", "sqlite", "redis"])
def test_processes_share_the_work_and_one_that_is_killed_loses_nothing(kind, forks, tmp_path, request):
    place = {"files": f"{tmp_path}/queue", "sqlite": f"sqlite:{tmp_path}/q.db"}.get(kind)
    place = place or f"{request.getfixturevalue('server').address}?name=killed"
    out, number = tmp_path / "out", 24
    order = {"place": place, "folder": str(out), "slices": number, "lease_seconds": 2}
    victim, told = forks.start(**order, name="victim", seconds=1000)
    held = told.readline().strip()
    others = [forks.start(**order, name=f"w{n}", seconds=0.02) for n in range(2)]
    first = others[0][1].readline()  # it works beside the one that will die
    os.kill(victim, signal.SIGKILL)
    assert forks.end(victim) == -signal.SIGKILL
    begun = [text.read().split() for _, text in others]
    assert [forks.end(pid) for pid, _ in others] == [0, 0]
    for text in (told, *(text for _, text in others)):
        text.close()
    assert found(out) == expected(number)
    assert json.loads((out / "_SUCCESS").read_text())["rows"] == number * (number + 1) // 2
    status = queue_config(place).open().status()
    assert {entry.state for entry in status.entries} == {"done"}
    (taken,) = (entry for entry in status.entries if entry.slice == held)
    assert (taken.attempts, taken.worker in ("w0", "w1")) == (2, True)
    assert held in [first.strip(), *begun[0], *begun[1]]


def test_threads_with_a_slow_one_among_them_do_each_slice_once(worker, tmp_path):
    names, gate = [f"w{n}" for n in range(4)], threading.Event()
    begun, lock = {name: [] for name in names}, threading.Lock()

    def work(name):
        def make(slice, path):
            with lock:
                begun[name].append(slice.name)
                if sum(map(len, begun.values())) == 30:
                    gate.set()
            if name == "w0":  # it sleeps until the others have done almost all
                gate.wait()
            return written(slice, path)

        worker(30, name=name).run(make)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found(tmp_path / "out") == expected(30)
    assert sorted(name for taken in begun.values() for name in taken) == [slice.name for slice in slices(30)]
    assert len(begun["w0"]) <= 1
