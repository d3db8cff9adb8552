"""Publishes that are stopped and gone on with, slowed, watched, and merged without end."""

import pyarrow as pa
import pytest

from easyrec.errors import StoreError
from easyrec.store.head import Head
from easyrec.store.progress import BEAT_S, SILENT_S, progress_of
from easyrec.store.reader import ModelReader
from easyrec.store.writer import AT_ONCE, Writer

VIEW = {"name": "counts", "entity": "user", "fields": [{"name": "clicks", "type": "int64"}]}
MODEL = {"name": "ctr", "features": [{"view": "counts"}]}


class Stopped(Exception):
    """A writer's end."""


class Place:
    """A store, its writer, and a clock that goes on by `step` seconds whenever it is looked at."""

    def __init__(self, config, store=None):
        self.config, self.now, self.step, self.waited = config, 1_000.0, 0.0, []
        self.store = store or config.online.open(config.project)
        self.writer = Writer(config, self.store, self.time, self.wait)
        self.reader = ModelReader(config, self.store, "ctr")

    def time(self):
        self.now += self.step
        return self.now

    def wait(self, seconds):
        self.waited.append(seconds)
        self.now += seconds

    def clicks(self, *ids):
        return self.reader.read({"user_id": list(ids)})["user_id"]["clicks"].to_pylist()

    def writing(self):
        return Head.of(self.store.read("user", [])[0]).views["counts"].writing

    def sign(self):
        return progress_of(self.store, "user", "counts", self.writing())


@pytest.fixture
def place(project):
    made = Place(project([VIEW], [MODEL]))
    yield made
    made.store.close()


def rows(first, last, clicks):
    ids = range(first, last)
    return pa.record_batch({"user_id": list(ids), "clicks": [clicks] * len(ids)})


def stopped_after(*batches):
    yield from batches
    raise Stopped


class Counting:
    """A store that counts the rows that are written to it."""

    def __init__(self, store):
        self.store, self.rows = store, 0

    def __getattr__(self, name):
        return getattr(self.store, name)

    def splice(self, entity, slot, generation, keys, rows, keep, fence=b""):
        self.rows += len(rows)
        self.store.splice(entity, slot, generation, keys, rows, keep, fence)


def stopped(place, parts=3):
    """Publish the first two of `parts` batches and stop."""
    place.step = BEAT_S
    batches = [rows(100 * part, 100 * part + 100, 7) for part in range(parts)]
    with pytest.raises(Stopped):
        place.writer.publish("counts", stopped_after(*batches[:2]), source="day 1")
    return batches


def test_a_stopped_publish_of_the_same_input_writes_only_what_is_missing(place):
    batches = stopped(place)
    assert place.sign().rows == 200
    later = Place(place.config, Counting(place.store))
    made = later.writer.publish("counts", batches, source="day 1")
    assert (made.generation, made.rows, made.resumed, later.store.rows) == (1, 300, 200, 100)
    assert place.clicks(0, 150, 299, 300) == [7, 7, 7, None]
    assert place.writing() is None


@pytest.mark.parametrize(
    "other",
    [{"source": "day 2"}, {"source": ""}, {"source": "day 1", "merge": True}],
    ids=["input", "unknown", "merge"],
)
def test_a_stopped_publish_of_other_rows_is_not_gone_on_with(place, other):
    stopped(place)
    later = Place(place.config, Counting(place.store))
    made = later.writer.publish("counts", [rows(0, 50, 8)], **other)
    assert (made.generation, made.resumed, later.store.rows) == (2, 0, 50)
    assert place.clicks(0, 150) == [8, None]


def test_rows_of_a_stopped_publish_that_are_others_are_found_out(place):
    """The input says that it is the same, and is not."""
    batches = stopped(place)
    with pytest.raises(StoreError, match="is another one after it was written"):
        place.writer.publish("counts", [rows(0, 100, 8), *batches[1:]], source="day 1")
    assert place.clicks(0) == [None]
    made = place.writer.publish("counts", [rows(0, 100, 8), *batches[1:]], source="day 1")
    assert (made.generation, made.resumed) == (2, 0)
    assert place.clicks(0, 150) == [8, 7]


def test_an_input_that_became_shorter_is_found_out(place):
    batches = stopped(place)
    with pytest.raises(StoreError, match="of 200 rows that a stopped writer wrote of 'day 1' 100 came"):
        place.writer.publish("counts", batches[:1], source="day 1")
    assert place.clicks(0, 150) == [None, None]
    assert place.writer.publish("counts", batches[:1], source="day 1").generation == 2
    assert place.clicks(0, 150) == [7, None]


def test_the_first_of_two_writers_of_one_input_ends(place):
    place.step = BEAT_S

    def overtaken():
        yield rows(0, 10, 7)
        place.writer.publish("counts", [rows(0, 10, 7), rows(10, 20, 7)], source="day 1")
        yield rows(10, 20, 7)

    with pytest.raises(StoreError, match="another writer has begun after this one"):
        place.writer.publish("counts", overtaken(), source="day 1")
    assert place.clicks(0, 15) == [7, 7]


class Delayed(Counting):
    """A store whose writes wait, each for the next one to be asked for."""

    held = None

    def splice(self, *words):
        self.held, words = words, self.held
        if words is not None:
            super().splice(*words)


def test_what_an_overtaken_writer_still_sends_is_not_written(place):
    store, late = place.writer.store, Delayed(place.writer.store)

    def killed():
        yield rows(0, 10, 7)
        raise Stopped

    with pytest.raises(Stopped):
        Writer(place.writer.config, late, clock=place.writer.clock).publish("counts", killed(), source="day 1")
    place.writer.publish("counts", [rows(0, 10, 8)], source="day 2")
    with pytest.raises(StoreError, match="another writer has begun after this one"):
        store.splice(*late.held)
    assert place.clicks(0, 9) == [8, 8]


def test_a_writer_says_that_it_lives(place):
    def watched():
        yield rows(0, 1, 7)
        signs.append(place.sign())
        place.now += BEAT_S
        yield rows(1, 2, 7)
        signs.append(place.sign())

    signs = []
    place.writer.publish("counts", watched())
    assert [sign.rows for sign in signs] == [0, 2]
    assert signs[1].beat - signs[0].beat >= BEAT_S
    assert signs[1].writer == signs[0].writer != ""
    assert signs[1].alive(signs[1].beat + SILENT_S)
    assert not signs[1].alive(signs[1].beat + SILENT_S + 1)


def test_what_the_living_write_is_not_swept_but_what_the_dead_left(place):
    stopped(place)
    place.step = 0.0
    place.writer.sweep("user")
    assert len([key for some in place.store.scan("user") for key, _ in some]) == 200
    place.now += SILENT_S + 1
    place.writer.sweep("user")
    assert not list(place.store.scan("user"))
    assert place.writing() is None


def test_a_writer_that_was_taken_for_dead_switches_nothing(place):
    def buried():
        yield rows(0, 10, 7)
        place.now += SILENT_S + 1
        place.writer.sweep("user")

    with pytest.raises(StoreError, match="or it was taken for dead: nothing is switched"):
        place.writer.publish("counts", buried())
    assert place.clicks(0) == [None]


def test_rows_are_written_no_faster_than_told(place):
    begun = place.now
    place.writer.publish("counts", [rows(0, 200, 7)], rows_per_second=100)
    assert place.now - begun == pytest.approx(2.0)
    assert max(place.waited) <= 0.25
    assert place.clicks(199) == [7]


def test_rows_that_come_slowly_by_themselves_are_not_waited_for(place):
    def slow():
        for number in range(5):
            place.now += 60.0
            yield rows(number, number + 1, 7)

    place.writer.publish("counts", slow(), rows_per_second=2)
    assert sum(place.waited) == pytest.approx(2.5)


@pytest.mark.parametrize("online", [{"type": "memory"}], ids=["memory"])
def test_a_view_is_merged_as_often_as_one_likes(place):
    """More often than a record has parts, with writers that fail in between."""
    place.writer.publish("counts", [rows(0, 20, -1)])
    for turn in range(280):
        if turn % 40 == 7:
            with pytest.raises(Stopped):
                place.writer.publish("counts", stopped_after(rows(0, 20, 999)), merge=True)
        place.writer.publish("counts", [rows(turn % 10, turn % 10 + 1, turn)], merge=True)
    assert place.clicks(*range(20)) == [*range(270, 280), *[-1] * 10]
    head = place.store.read("user", [])[0]
    assert len(head) < 1000
    state = Head.of(head).views["counts"].live
    assert len(state.generations) == 281
    assert Head.of(Head.of(head).text()).views == Head.of(head).views


def test_batches_are_written_in_parts(place):
    class Sizes(Counting):
        sizes = []

        def splice(self, entity, slot, generation, keys, rows, keep, fence):
            self.sizes.append(len(keys))

        def read(self, entity, keys):
            return self.store.read(entity, keys)

    other = Place(place.config, Sizes(place.store))
    with pytest.raises(StoreError, match="is not there after it was written"):  # nothing was
        other.writer.publish("counts", [rows(0, AT_ONCE + 5, 7)])
    assert Sizes.sizes == [AT_ONCE, 5]
