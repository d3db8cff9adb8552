"""Sources of files over WebHDFS: a stand-in that speaks its protocol."""

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.data.sources import csv, jsonl, parquet
from easyrec.errors import DataError

OPTIONS = {"user": "app"}


def read(source, columns=("id",)):
    return [row for u in source.units() for b in source.read(u, list(columns)) for row in b.to_pylist()]


def test_all_formats_are_read_in_ranges_from_folders(webhdfs, monkeypatch):
    monkeypatch.setattr(csv, "UNIT_BYTES", 200)
    monkeypatch.setattr(jsonl, "UNIT_BYTES", 200)
    url, folder = webhdfs
    rows = [{"id": i} for i in range(100)]
    for name in ("a day", "b"):
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet", row_group_size=30)
    (folder / "c.csv").write_text("id\n" + "".join(f"{row['id']}\n" for row in rows))
    (folder / "d.jsonl").write_text("".join(f'{{"id": {row["id"]}}}\n' for row in rows))
    source = parquet.Config(path=f"{url}/", storage_options=OPTIONS).open()
    assert [unit.rows for unit in source.units()] == [30, 30, 30, 10] * 2
    assert read(source) == rows * 2
    for made in (csv, jsonl):
        source = made.Config(path=f"{url}/*.{made.__name__.rpartition('.')[2]}", storage_options=OPTIONS).open()
        assert len(source.units()) > 1
        assert read(source) == rows


def test_partitions_are_found_there_too(webhdfs):
    url, folder = webhdfs
    for day in ("20260101", "20260102", "20260103"):
        (folder / "log" / f"dt={day}").mkdir(parents=True)
        pq.write_table(pa.table({"id": [int(day)]}), folder / "log" / f"dt={day}" / "a.parquet")
    settings = {"partitions": {"dt": "string"}, "where": {"dt": {"last": 2, "until": "20260102"}}}
    source = parquet.Config(path=f"{url}/log", storage_options=OPTIONS, **settings).open()
    assert read(source, ("id", "dt")) == [{"id": int(day), "dt": day} for day in ("20260101", "20260102")]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_what_a_data_node_says_of_a_failure_is_not_taken_for_rows(webhdfs, suffix):
    url, folder = webhdfs
    (folder / "rows.broken").write_text("id\n1\n" * 20)
    made = {"parquet": parquet, "csv": csv}[suffix]
    with pytest.raises(DataError, match=r"rows\.broken.*: (is no readable parquet file|cannot be read): 500"):
        read(made.Config(path=f"{url}/rows.broken", storage_options=OPTIONS).open())


def test_what_is_not_there_or_not_for_us_is_told(webhdfs):
    url, _ = webhdfs
    with pytest.raises(DataError, match="there is no such file"):
        parquet.Config(path=f"{url}/x.parquet", storage_options=OPTIONS).open()


def test_files_are_written_renamed_and_deleted(webhdfs):
    """What the stand-in claims of the protocol holds for the client that everyone uses."""
    url, folder = webhdfs
    system, _ = fsspec.core.url_to_fs(url, **OPTIONS)
    with system.open("/new/rows.csv", "wb") as file:
        file.write(b"id\n1\n")
    assert (folder / "new" / "rows.csv").read_text() == "id\n1\n"
    system.mv("/new/rows.csv", "/new/other.csv")
    assert [entry["name"] for entry in system.ls("/new", detail=True)] == ["/new/other.csv"]
    system.rm("/new", recursive=True)
    assert not system.exists("/new")


def test_a_name_node_that_gives_no_answer_is_not_taken_for_a_file_that_is_absent():
    with pytest.raises(DataError, match=r"cannot be listed: .*(refused|Max retries)"):
        parquet.Config(path="webhdfs://127.0.0.1:1/log", storage_options=OPTIONS).open()
    partitions = {"partitions": {"dt": "string"}, "where": {"dt": "20260101"}}
    with pytest.raises(DataError, match=r"cannot be listed: .*(refused|Max retries)"):
        parquet.Config(path="webhdfs://127.0.0.1:1/log", storage_options=OPTIONS, **partitions).open()
