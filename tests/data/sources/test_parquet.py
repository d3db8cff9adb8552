from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.data.sources import parquet
from easyrec.errors import DataError


def write(path, table, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path


def read(source, columns=None):
    columns = columns or list(source.columns)
    return pa.Table.from_batches([b for u in source.units() for b in source.read(u, columns)])


@pytest.mark.parametrize("name", ["rows [a] 1", "what?", "a*b"])
def test_a_file_may_be_called_like_a_glob(name, tmp_path):
    for other in (name, "rows a 1", "what1", "axb"):
        write(tmp_path / f"{other}.parquet", pa.table({"x": [other]}))
    assert read(parquet.Config(path=f"{tmp_path}/{name}.parquet").open()).column("x").to_pylist() == [name]


def test_globs_folders_and_lists_give_files_in_order_of_their_names(tmp_path):
    for name in ("b", "a", "c"):
        write(tmp_path / f"{name}.parquet", pa.table({"x": [name]}))
    (tmp_path / "_SUCCESS").touch()
    for path in (f"{tmp_path}/*.parquet", str(tmp_path), [f"{tmp_path}/a.parquet", f"{tmp_path}/[bc].parquet"]):
        assert read(parquet.Config(path=path).open()).column("x").to_pylist() == ["a", "b", "c"]


def test_any_file_system_of_fsspec_is_read(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    with memory.open("/bucket/a.parquet", "wb") as file:
        pq.write_table(pa.table({"x": [1, 2, 3]}), file, row_group_size=2)
    source = parquet.Config(path="memory://bucket/*.parquet").open()
    assert read(source).column("x").to_pylist() == [1, 2, 3]
    assert [unit.rows for unit in source.units()] == [2, 1]
    source.close()


def test_list_and_dictionary_columns_come_as_they_are(tmp_path):
    table = pa.table({"l": [[1, 2], None, [], [3]], "d": pa.array(["a", "b", None, "a"]).dictionary_encode()})
    source = parquet.Config(path=str(write(tmp_path / "a.parquet", table))).open()
    assert read(source).to_pydict() == table.to_pydict()
    assert pa.types.is_dictionary(source.columns["d"])


@pytest.mark.parametrize("start", [0, 1, 70_000, 99_999])
def test_huge_row_groups_are_streamed_and_resumed_alike(tmp_path, monkeypatch, start):
    monkeypatch.setattr(parquet, "STREAMED_BYTES", 1000)
    path = write(tmp_path / "a.parquet", pa.table({"x": range(100_000), "y": range(100_000)}))
    source = parquet.Config(path=str(path)).open()
    batches = list(source.read(source.units()[0], ["y"], start))
    assert all(batch.num_rows <= 1 << 16 for batch in batches)
    assert pa.Table.from_batches(batches).column("y").to_pylist() == list(range(start, 100_000))


def test_threads_may_read_one_source_at_the_same_time(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "OPEN_FILES", 2)
    for name in "abcd":
        write(tmp_path / f"{name}.parquet", pa.table({"x": np.arange(20_000)}), row_group_size=1000)
    source = parquet.Config(path=str(tmp_path)).open()

    def total(order):
        units = source.units()[::order]
        return sum(batch.column("x").to_numpy().sum() for unit in units for batch in source.read(unit, ["x"]))

    with ThreadPoolExecutor(4) as pool:
        totals = list(pool.map(total, [1, -1, 1, -1]))
    assert totals == [4 * sum(range(20_000))] * 4
    assert len(source._open) == 2
    source.close()
    assert not source._open


def test_the_row_of_a_later_group_is_counted_in_its_file(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.parquet", pa.table({"x": range(10)}), row_group_size=4)
    source = parquet.Config(path=str(tmp_path)).open()
    place = source.locate(source.units()[5], 1)
    assert (place.file, place.row) == (f"{tmp_path}/b.parquet", 9)


@pytest.mark.parametrize("keep", [0, 3, 0.5, 0.99], ids=["empty", "3-bytes", "half", "almost-all"])
def test_a_truncated_file_is_named(tmp_path, keep):
    path = write(tmp_path / "a.parquet", pa.table({"x": np.random.default_rng(0).random(10_000)}))
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(len(whole) * keep)])
    with pytest.raises(DataError, match=r"a\.parquet: is no readable parquet file") as caught:
        parquet.Config(path=str(path)).open()
    assert len(str(caught.value).splitlines()) == 1


def test_a_damaged_page_names_file_and_row_group(tmp_path):
    table = pa.table({"x": np.random.default_rng(0).random(20_000)})
    path = write(tmp_path / "a.parquet", table, row_group_size=10_000, write_page_checksum=True, use_dictionary=False)
    damaged = bytearray(path.read_bytes())
    damaged[120_000] ^= 0xFF
    path.write_bytes(damaged)
    source = parquet.Config(path=str(path)).open()
    list(source.read(source.units()[0], ["x"]))
    with pytest.raises(DataError, match=r"a\.parquet: row group 1 cannot be read"):
        list(source.read(source.units()[1], ["x"]))


@pytest.mark.parametrize(
    ("path", "message"),
    [("*.parquet", "no file matches this pattern"), ("nothing.parquet", "there is no such file")],
    ids=["glob", "file"],
)
def test_a_path_that_leads_nowhere_is_named(tmp_path, path, message):
    with pytest.raises(DataError, match=message) as caught:
        parquet.Config(path=f"{tmp_path}/{path}").open()
    assert caught.value.file == f"{tmp_path}/{path}"


@pytest.mark.parametrize(
    ("second", "message"),
    [({"x": ["1"], "y": [1]}, "has type string here, but int64 in"), ({"y": [1]}, "absent here, but present in")],
    ids=["other-type", "absent"],
)
def test_files_that_disagree_about_a_column_are_named(tmp_path, second, message):
    write(tmp_path / "a.parquet", pa.table({"x": [1], "y": [1]}))
    write(tmp_path / "b.parquet", pa.table(second))
    source = parquet.Config(path=str(tmp_path)).open()
    source.require(["y"])
    with pytest.raises(DataError, match=message) as caught:
        source.require(["x", "y"])
    assert caught.value.file.endswith("b.parquet")
    assert caught.value.column == "x"


def test_files_may_differ_in_order_of_columns_and_encoding(tmp_path):
    write(tmp_path / "a.parquet", pa.table({"x": pa.array(["p"]), "y": [1]}))
    write(tmp_path / "b.parquet", pa.table({"y": [2], "x": pa.array(["q"], pa.large_string())}))
    source = parquet.Config(path=str(tmp_path)).open()
    source.require(["x", "y"])
    rows = [b.to_pylist() for u in source.units() for b in source.read(u, ["y", "x"])]
    assert rows == [[{"y": 1, "x": "p"}], [{"y": 2, "x": "q"}]]
