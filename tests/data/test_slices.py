"""Slices: all units once, in their order, cut equally by everyone, and read as the whole source reads them."""

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from easyrec.data import Part
from easyrec.data.content import content_of
from easyrec.data.slices import SlicedSource, batch_slices_of, digest_of, slices_of
from easyrec.data.sources import Unit
from easyrec.data.sources.csv import Config as Csv
from easyrec.data.sources.frame import FrameSource
from easyrec.data.sources.parquet import Config as Parquet
from easyrec.data.sources.synthetic import Config as Synthetic
from easyrec.data.split import Predicate


class Counted(FrameSource):
    """A source with units of these many rows."""

    def __init__(self, counts):
        super().__init__(pd.DataFrame({"x": [0]}))
        self._units = [Unit(index, rows, f"unit {index}") for index, rows in enumerate(counts)]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([], [[]]),
        ([5], [[0]]),
        ([50, 50, 50], [[0, 1], [2]]),
        ([30, 30, 30, 30, 500, 1, 1], [[0, 1, 2], [3], [4], [5, 6]]),
        ([None, None], [[0], [1]]),
        ([10, None, 10, 10], [[0], [1], [2, 3]]),
        ([100, 0, 0, 100], [[0, 1, 2], [3]]),
    ],
    ids=["none", "one", "full", "uneven", "unknown", "mixed", "empty-units"],
)
def test_a_slice_is_as_many_whole_units_as_fit(counts, expected):
    slices = slices_of(Part(Counted(counts)), 100)
    assert [[unit.index for unit in slice.units] for slice in slices] == expected
    assert [slice.name for slice in slices] == [f"{number:05}" for number in range(len(expected))]
    known = [[counts[index] for index in group] for group in expected]
    assert [slice.rows for slice in slices] == [None if None in group else sum(group) for group in known]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"x": range(1000), "y": [str(n) for n in range(1000)]}), path, row_group_size=90)
    return path


def test_slices_together_are_the_whole_and_tell_places_of_the_whole(path):
    source = Parquet(path=str(path)).open()
    read = []
    for slice in slices_of(Part(source), 200):
        sliced = SlicedSource(source, slice)
        assert sliced.num_rows == slice.rows
        for unit in sliced.units():
            batches = list(sliced.read(unit, ["x"]))
            assert sliced.locate(unit, 3).row == batches[0].column("x")[3].as_py()
            assert sliced.bounds(unit, "x")[0].as_py() == batches[0].column("x")[0].as_py()
            assert (
                pa.Table.from_batches(sliced.read(unit, ["x"], 5))["x"][0].as_py() == batches[0].column("x")[5].as_py()
            )
            read += [value for batch in batches for value in batch.column("x").to_pylist()]
    assert read == list(range(1000))


def test_units_that_a_part_cannot_hold_are_in_no_slice(path):
    source = Parquet(path=str(path)).open()
    wanted = Predicate(
        "x", lambda batch: pc.greater_equal(batch.column("x"), 500), lambda low, high: high.as_py() >= 500
    )
    slices = slices_of(Part(source, wanted), 90)
    assert [slice.units[0].index for slice in slices] == [5, 6, 7, 8, 9, 10, 11]


def test_the_content_of_files_changes_with_them(path, tmp_path):
    def content():
        return content_of(Parquet(path=str(path)).open(), ["x"])

    first = content()
    assert content() == first
    pq.write_table(pa.table({"x": range(999), "y": ["0"] * 999}), path, row_group_size=90)
    assert content() != first
    text = tmp_path / "rows.csv"
    text.write_text("x\n1\n2\n")
    before = content_of(Csv(path=str(text)).open(), ["x"])
    text.write_text("x\n1\n3\n4\n")
    assert content_of(Csv(path=str(text)).open(), ["x"]) != before


def test_the_content_of_rows_in_memory_is_the_rows():
    first, second, third = (FrameSource(pd.DataFrame({"x": [1, 2, last]})) for last in (3, 3, 4))
    assert content_of(first, ["x"]) == content_of(second, ["x"]) != content_of(third, ["x"])


def test_the_content_of_a_made_up_set_is_told_without_making_it(monkeypatch):
    def content(**settings):
        return content_of(Synthetic(rows=1_000_000, **settings).open(), [])

    monkeypatch.setattr("easyrec.data.sources.synthetic.generate", lambda *given: pytest.fail("it was made"))
    assert content(seed=1) == content(seed=1) != content(seed=2)


def test_a_remote_file_is_known_by_its_stamp(path):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/rows.parquet", path.read_bytes())
    source = Parquet(path="memory://bucket/rows.parquet").open()
    calls = []
    source.read = lambda *given: calls.append(given)
    assert len(content_of(source, ["x"])) == 64
    assert calls == []
    memory.rm("/bucket", recursive=True)


@pytest.mark.parametrize(
    ("counts", "rows", "expected"),
    [
        ([], 100, [([], 0, None, 0)]),
        ([5], 100, [([0], 0, None, 5)]),
        ([64, 64, 64], 128, [([0, 1], 0, None, 128), ([2], 0, None, 64)]),
        ([50, 50, 50], 64, [([0, 1], 0, 14, 64), ([1, 2], 14, 28, 64), ([2], 28, None, 22)]),
        ([200], 64, [([0], 0, 64, 64), ([0], 64, 128, 64), ([0], 128, 192, 64), ([0], 192, None, 8)]),
        ([100, 0, 0, 28], 1, [([0], 0, 32, 32), ([0], 32, 64, 32), ([0], 64, 96, 32), ([0, 1, 2, 3], 96, None, 32)]),
    ],
    ids=["none", "one", "whole-units", "across", "inside", "empty-units"],
)
def test_slices_of_batches_end_where_a_batch_of_all_rows_does(counts, rows, expected):
    slices = batch_slices_of(Part(Counted(counts)), rows, 32)
    found = [([unit.index for unit in s.units], s.start, s.stop, s.rows) for s in slices]
    assert found == expected


@pytest.mark.parametrize("counts", [[10, None], [None]])
def test_rows_that_nobody_has_counted_are_cut_at_units(counts):
    part = Part(Counted(counts))
    assert batch_slices_of(part, 100, 32) == slices_of(part, 100)


def test_slices_of_batches_together_are_the_whole_and_tell_its_places(path):
    source = Parquet(path=str(path)).open()
    read = []
    for slice in batch_slices_of(Part(source), 100, 64):
        sliced = SlicedSource(source, slice)
        assert sum(unit.rows for unit in sliced.units()) == slice.rows
        for unit in sliced.units():
            batches = list(sliced.read(unit, ["x"]))
            found = [value for batch in batches for value in batch.column("x").to_pylist()]
            assert [sliced.locate(unit, row).row for row in range(unit.rows)] == found
            later = [value for batch in sliced.read(unit, ["x"], 5) for value in batch.column("x").to_pylist()]
            assert later == found[5:]
            read += found
    assert read == list(range(1000))


def test_the_digest_of_slices_tells_other_cuts(path):
    source = Parquet(path=str(path)).open()
    cuts = [slices_of(Part(source), 200), slices_of(Part(source), 300), batch_slices_of(Part(source), 200, 64)]
    assert len({digest_of(slices) for slices in cuts}) == 3
    assert digest_of(slices_of(Part(Parquet(path=str(path)).open()), 200)) == digest_of(cuts[0])
