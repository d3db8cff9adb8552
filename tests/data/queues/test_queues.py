"""What every queue promises, wherever it lies."""

import threading
import time

import pytest

from easyrec.data.queues import Entry, Idle, Lease, queue_config
from easyrec.errors import ConfigError, LeaseLost, QueueError, QueueGone
from feature_generator.config import members


def test_these_tests_know_every_kind():
    assert members("easyrec.data.queues") == ("files", "redis", "sqlite")


def states(queue):
    return "".join(entry.state[0] for entry in queue.status().entries)


def test_slices_come_in_their_order_and_each_once(case):
    queue, other = case.made(), case.open()
    taken = [queue.lease("w", 60), other.lease("v", 60), queue.lease("w", 60)]
    assert [lease.slice for lease in taken] == ["a", "b", "c"]
    assert len({lease.token for lease in taken}) == 3
    assert [lease.attempt for lease in taken] == [1, 1, 1]
    assert queue.lease("w", 60) is Idle.WAIT
    for lease in taken:
        other.complete(lease, 5)
    assert queue.lease("w", 60) is other.lease("v", 60) is Idle.DONE


def test_making_a_queue_again_changes_nothing(case):
    queue = case.made()
    lease = queue.lease("w", 60)
    case.made(attempts=9)
    assert states(queue) == "lww"
    assert queue.status().attempts == 3
    queue.complete(lease, 1)
    case.made()
    assert states(queue) == "dww"


@pytest.mark.parametrize(("job", "slices", "what"), [("job", "ab", "other slices"), ("another", "abc", "other work")])
def test_a_queue_of_other_work_is_refused(case, job, slices, what):
    case.made()
    with pytest.raises(QueueError, match=what):
        case.made(slices, job=job)


def test_queues_of_other_names_and_epochs_are_strangers(case):
    first, second, third = case.made(), case.made(name="more"), case.made(epoch=1)
    first.complete(first.lease("w", 60), 1)
    assert (states(first), states(second), states(third)) == ("dww", "www", "www")
    second.remove()
    third.remove()
    assert states(first) == "dww"


def test_no_slices_are_all_done(case):
    queue = case.made(())
    assert queue.lease("w", 60) is Idle.DONE
    assert queue.status().finished


@pytest.mark.parametrize("slices", [["a", "a"], ["a/b"], [".."], [""], ["x" * 99], ["a~b"], ["ü"]])
def test_odd_names_are_refused(case, slices):
    with pytest.raises(ValueError, match=r"name of a slice|make no queue"):
        case.made(slices)


@pytest.mark.parametrize("call", ["lease", "status", "again", "renew"])
def test_a_queue_that_nobody_made_is_told(case, call):
    queue = case.open()
    arguments = {"lease": ("w", 1), "again": (["a"],), "renew": (Lease("a", "t", 1, 1, "w"),)}.get(call, ())
    with pytest.raises(QueueGone, match="there is no such queue"):
        getattr(queue, call)(*arguments)


def test_a_removed_queue_can_be_made_anew(case):
    queue, other = case.made(), case.open()
    lease = other.lease("w", 60)
    queue.remove()
    queue.remove()
    with pytest.raises(QueueGone):
        other.complete(lease, 1)
    other.create("new", ["x"])
    assert queue.lease("w", 60).slice == "x"


# ------------------------------------------------------------------------------------------- leases


def test_a_silent_worker_loses_its_slice_and_its_late_word_counts_no_more(case):
    queue, other = case.made(), case.open()
    old = queue.lease("slow", 60)
    case.advance(59)
    assert other.lease("w", 60).slice == "b"
    case.advance(1)
    new = other.lease("w", 60)
    assert new.slice == "c"  # what was never tried comes first
    again = other.lease("w", 60)
    assert (again.slice, again.attempt) == ("a", 2)
    for call, *more in ((queue.renew,), (queue.complete, 7), (queue.fail, "x"), (queue.release,)):
        with pytest.raises(LeaseLost, match="no longer held by slow"):
            call(old, *more)
    other.complete(again, 5)
    for call, *more in ((queue.renew,), (queue.complete, 7), (queue.fail, "x")):
        with pytest.raises(LeaseLost):
            call(old, *more)
    done = queue.status().entries[0]
    assert (done.state, done.rows, done.worker, done.attempts) == ("done", 5, "w", 2)


def test_a_late_word_counts_while_nobody_else_has_the_slice(case):
    queue = case.made()
    lease = queue.lease("slow", 60)
    case.advance(3600)
    queue.renew(lease)
    assert [queue.lease("w", 60).slice for _ in range(2)] == ["b", "c"]
    assert queue.lease("w", 60) is Idle.WAIT
    case.advance(50)
    queue.complete(lease, 3)
    assert states(queue) == "dll"


def test_renewing_keeps_a_slice_for_as_long_as_it_takes(case):
    queue, other = case.made("a"), case.open()
    lease = queue.lease("w", 60)
    for _ in range(5):
        case.advance(40)
        assert other.lease("v", 60) is Idle.WAIT
        queue.renew(lease)
    queue.complete(lease, 1)
    assert other.lease("v", 60) is Idle.DONE


def test_done_twice_is_done_once(case):
    queue = case.made("a")
    lease = queue.lease("w", 60)
    queue.complete(lease, 4)
    queue.complete(lease, 4)
    case.open().complete(lease, 4)
    assert queue.status().entries == [Entry("a", "done", 1, "w", None, 4)]
    with pytest.raises(LeaseLost):
        queue.renew(lease)


def test_what_fails_comes_back_after_the_others_and_then_is_marked(case):
    queue = case.made("ab", attempts=2)
    queue.fail(queue.lease("w", 60), "first")
    second = queue.lease("w", 60)
    assert second.slice == "b"
    assert queue.status().entries[0] == Entry("a", "waiting", 1, "", None, None, "first")
    third = queue.lease("w", 60)
    assert (third.slice, third.attempt) == ("a", 2)
    queue.fail(third, "second: ü\n'\"")
    assert queue.lease("w", 60) is Idle.WAIT
    queue.complete(second, 1)
    assert queue.lease("w", 60) is Idle.DONE
    assert queue.status().entries[0] == Entry("a", "failed", 2, "", None, None, "second: ü\n'\"")
    with pytest.raises(LeaseLost):
        queue.complete(third, 1)


def test_a_slice_that_kills_its_workers_is_marked_too(case):
    queue = case.made("a", attempts=2)
    for number in (1, 2):
        assert queue.lease(f"victim{number}", 60).attempt == number
        case.advance(60)
    assert queue.lease("w", 60) is Idle.DONE
    (failed,) = queue.status().those("failed")
    assert failed.reason == "nothing was heard from victim2 for 60 s: it died, or lost its connection"


def test_what_is_given_back_was_not_tried(case):
    queue = case.made("ab", attempts=1)
    queue.release(queue.lease("w", 60))
    assert states(queue) == "ww"
    lease = queue.lease("w", 60)
    assert (lease.slice, lease.attempt) == ("a", 1)


def test_what_is_done_or_failed_can_wait_again(case):
    queue = case.made("abcd", attempts=1)
    done, failed, held = (queue.lease("w", 60) for _ in range(3))
    queue.complete(done, 1)
    queue.fail(failed, "why")
    queue.again(["a", "b", "c", "d", "unknown"])
    assert states(queue) == "wwlw"
    assert {entry.attempts for entry in queue.status().those("waiting")} == {0}
    with pytest.raises(LeaseLost):
        queue.complete(done, 1)
    queue.complete(held, 1)
    assert [queue.lease("w", 60).slice for _ in range(3)] == ["a", "b", "d"]


def test_the_status_tells_who_works_since_when(case):
    queue = case.made()
    queue.lease("host-12", 60)
    queue.fail(queue.lease("host-13", 60), "bad row")
    case.advance(20)
    held, tried, untouched = case.open().status().entries
    assert (held.state, held.worker, held.attempts) == ("leased", "host-12", 1)
    assert held.age >= (0 if case.kind == "files" else 20)  # those of files are told by the clock of the disk
    assert (tried.state, tried.attempts, tried.reason, tried.age) == ("waiting", 1, "bad row", None)
    assert untouched == Entry("c", "waiting")


# ---------------------------------------------------------------------------------------- clocks


@pytest.mark.parametrize("jump", [-1e6, 1e6])
def test_a_worker_whose_clock_jumps_neither_takes_what_is_held_nor_blocks_what_is_not(case, monkeypatch, jump):
    queue, other = case.made("ab"), case.open()
    queue.lease("dead", 60)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    assert other.lease("jumping", 60).slice == "b"
    assert other.lease("jumping", 60) is Idle.WAIT
    assert states(other) == "ll"
    monkeypatch.undo()
    case.advance(60)
    assert queue.lease("w", 60).slice == "a"
    assert queue.lease("w", 60).slice == "b"


def test_a_clock_that_starts_anew_blocks_nothing(case):
    """That of a machine starts with it, that of a server may be set back."""
    queue, other = case.made("a"), case.open()
    queue.lease("dead", 60)
    case.advance(-500)
    if case.kind == "files":  # each watcher counts by its own clock, from when it first looked
        other = case.open()
        assert other.lease("w", 60) is Idle.WAIT
        case.advance(60)
    assert other.lease("w", 60).attempt == 2


# ------------------------------------------------------------------------------------ at the same time


def test_threads_share_one_queue_and_take_every_slice_once(case):
    names = [f"s{number:03}" for number in range(60)]
    first = case.made(names)
    taken, faults, start = [], [], threading.Barrier(6)

    def work(queue, name):
        start.wait()
        try:
            while (lease := queue.lease(name, 600)) is not Idle.DONE:
                if lease is Idle.WAIT:
                    time.sleep(0.01)
                    continue
                queue.renew(lease)
                queue.complete(lease, 1)
                taken.append(lease.slice)
        except Exception as error:  # noqa: BLE001 (told below, with its kind)
            faults.append(error)

    shared = [first, first, first, *(case.open() for _ in range(3))]
    threads = [threading.Thread(target=work, args=(queue, f"w{i}")) for i, queue in enumerate(shared)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert sorted(taken) == names
    assert states(first) == "d" * 60


def test_makers_at_the_same_time_make_one_queue(case):
    names = [f"s{number:03}" for number in range(50)]
    faults, start = [], threading.Barrier(5)

    def make(queue):
        start.wait()
        try:
            queue.create("job", names)
            queue.complete(queue.lease("w", 600), 1)
        except Exception as error:  # noqa: BLE001 (told below, with its kind)
            faults.append(error)

    queues = [case.open() for _ in range(5)]
    threads = [threading.Thread(target=make, args=(queue,)) for queue in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert queues[0].status().counts == {"done": 5, "waiting": 45}


def test_a_slow_worker_takes_few_and_all_end_together(cases, tmp_path):
    """Time is simulated: whoever is free first takes the next slice; one worker of four is ten times slower."""
    for kind in ("files", "sqlite"):
        queue = cases(kind).made([f"s{number:03}" for number in range(150)])
        costs, free, count = [1.0, 1.0, 1.0, 10.0], [0.0] * 4, [0] * 4
        while True:
            worker = free.index(min(free))
            lease = queue.lease(f"w{worker}", 600)
            if lease is Idle.DONE:
                break
            queue.complete(lease, 1)
            free[worker] += costs[worker]
            count[worker] += 1
        ideal = 150 / sum(1 / cost for cost in costs)
        assert max(free) <= 1.2 * ideal
        assert sum(count) == 150
        assert count[3] <= 6


# --------------------------------------------------------------------------------------- configs


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("work", {"type": "files", "path": "work"}),
        ("./a:b/c", {"type": "files", "path": "./a:b/c"}),
        ("file:///mnt/q", {"type": "files", "path": "/mnt/q"}),
        ("files:/mnt/q?name=x&attempts=5", {"type": "files", "path": "/mnt/q", "name": "x", "attempts": 5}),
        ("sqlite:q.db", {"type": "sqlite", "path": "q.db"}),
        ("sqlite:///srv/q.db?lease_seconds=5", {"type": "sqlite", "path": "/srv/q.db", "lease_seconds": 5.0}),
        ("redis://h:1/2?name=n", {"type": "redis", "url": "redis://h:1/2", "name": "n"}),
        ("rediss://u:${P}@h", {"type": "redis", "url": "rediss://u:${P}@h"}),
        ("${WHERE}", {"type": "redis", "url": "${WHERE}"}),
        ({"type": "files", "path": "x", "slice_rows": 7}, {"type": "files", "path": "x", "slice_rows": 7}),
    ],
)
def test_a_place_is_a_config(monkeypatch, given, expected):
    monkeypatch.setenv("P", "secret")
    monkeypatch.setenv("WHERE", "redis://:secret@h:1/0?name=n")
    config = queue_config(given)
    assert config.model_dump(exclude_unset=True) == expected
    assert queue_config(config) is config
    assert "secret" not in repr(config)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("rediz://h", "unknown type 'rediz'; did you mean 'redis'"),
        ("work://x", "unknown type 'work'"),
        ("sqlite:q.db?attempt=3", "unknown key; did you mean 'attempts'"),
        ("files:q?attempts=0", "attempts"),
        ("files:q?name=a/b", "name"),
        ("redis://:secret@h/0", "holds a password: write it as"),
        ("redis://u:secret@h/0", "holds a password"),
        ("${NOT_SET_ANYWHERE}", "'NOT_SET_ANYWHERE' is not set"),
        ({"type": "files"}, "path"),
    ],
)
def test_a_wrong_place_is_told(given, told):
    with pytest.raises(ConfigError, match=told) as caught:
        queue_config(given)
    assert "secret" not in str(caught.value)
