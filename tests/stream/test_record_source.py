"""What several processes write into one folder: each line is read once, whichever order files appear in."""

import json

import pyarrow as pa
import pytest

from easyrec.stream.sources.record import REMEMBERED, Config

SCHEMA = pa.schema([("id", pa.int64()), ("age", pa.int64())])


class Folder:
    def __init__(self, path):
        self.path = path

    def write(self, name, *ids, **more):
        (self.path / name).write_text("".join(json.dumps({"id": number, **more}) + "\n" for number in ids))

    def open(self, *, until_end=True, inner=None):
        config = Config(type="record", path=str(self.path), prefix="events", inner=inner)
        return config.open(SCHEMA, until_end=until_end)


def drained(source, most=100):
    """What comes, and the offsets behind it."""
    ids, offsets = [], {}
    while found := source.poll(most, 0.0):
        for one in found:
            ids += one.rows["id"].to_pylist()
            offsets[one.partition] = one.offset
    return ids, json.loads(json.dumps(offsets))


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_files_of_all_writers_are_read_once_and_gone_on_with(folder):
    folder.write("events-1-a-0001.jsonl", 1, 2)
    folder.write("events-2-b-0001.jsonl", 3)
    folder.write("exposures-1-a-0001.jsonl", 99)
    folder.write(".events-1-a-0002.writing", 98)
    folder.write("events-1-a-0003.jsonl.open", 97)
    ids, offsets = drained(folder.open())
    assert sorted(ids) == [1, 2, 3]
    assert set(offsets) == {"1-a", "2-b"}
    folder.write("events-2-b-0002.jsonl", 4)
    folder.write("events-0-new-0001.jsonl", 5)  # its name lies before all others
    again = folder.open()
    again.seek(offsets)
    assert sorted(drained(again)[0]) == [4, 5]


def test_a_stop_within_a_file_is_gone_on_with_behind_the_last_line(folder):
    folder.write("events-1-a-0001.jsonl", 1, 2, 3)
    source = folder.open()
    (first,) = source.poll(2, 0.0)
    assert first.rows["id"].to_pylist() == [1, 2]
    again = folder.open()
    again.seek({first.partition: first.offset})
    assert again.backlog_bytes() == len(json.dumps({"id": 3})) + 1
    assert drained(again)[0] == [3]
    assert again.ended


def test_a_file_that_comes_behind_greater_names_is_read(folder):
    folder.write("events-20260101T120005.000000-7-aa.jsonl", 1)
    _, offsets = drained(folder.open())
    folder.write("events-20260101T120004.000000-7-bb.jsonl", 2)  # the clock was set back
    folder.write("events-20260101T120006.000000-7-cc.jsonl", 3)
    again = folder.open()
    again.seek(offsets)
    ids, offsets = drained(again)
    assert sorted(ids) == [2, 3]
    assert set(offsets) == {"7"}
    last = folder.open()
    last.seek(offsets)
    assert drained(last)[0] == []


def test_what_is_remembered_of_files_is_bounded(folder):
    for number in range(3 * REMEMBERED):
        folder.write(f"events-1-a-{number:06d}.jsonl", number)
    ids, offsets = drained(folder.open())
    assert ids == list(range(3 * REMEMBERED))
    assert len(offsets["1-a"][2]) == REMEMBERED
    again = folder.open()
    again.seek(offsets)
    assert drained(again)[0] == []


def test_it_goes_on_looking_for_files_and_its_folder_may_come_later(tmp_path):
    folder = Folder(tmp_path / "later")
    source = folder.open(until_end=False)
    assert source.poll(10, 0.0) == []
    assert not source.ended
    folder.path.mkdir()
    folder.write("events-1-a-0001.jsonl", 1)
    (found,) = source.poll(10, 5.0)
    assert found.rows["id"].to_pylist() == [1]
    assert not source.ended


def test_columns_may_stand_in_a_member_of_the_line(folder):
    folder.write("events-1-a-0001.jsonl", 1, age=3, features={"age": 4})
    folder.write("events-1-a-0002.jsonl", 2, features={"age": 5})
    folder.write("events-1-a-0003.jsonl", 3)
    (folder.path / "events-1-a-0004.jsonl").write_text(
        '{"id": 4, "features": 7}\n{"id": 5, "features": {"age": 6}}\n\n[]\n'
    )
    source = folder.open(inner="features")
    found = [one for _ in range(4) for one in source.poll(10, 0.0)]
    assert [one.rows["age"].to_pylist() for one in found] == [[3], [5], [None], [6]]
    assert [len(one.malformed) for one in found] == [0, 0, 0, 2]
    assert "byte 0" in found[3].malformed[0].place
