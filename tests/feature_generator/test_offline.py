"""`offline.run`: order, sameness with `transform`, bad rows, what goes wrong, memory and atomicity."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_generator import ConfigError, DataError, FeatureGenerator, feed, offline
from feature_generator.errors import OutputError
from feature_generator.feed import find_files
from feature_generator.origin import read_origin

ROOT = Path(__file__).parents[2]
FEATURES = [
    {"type": "id", "name": "user", "expression": "user:user", "num_buckets": 100},
    {"type": "id", "name": "tags", "expression": "item:tags", "hash_bucket_size": 1000},
    {"type": "raw", "name": "price", "expression": "item:price"},
    {"type": "id", "name": "clicks", "expression": "user:clicks", "hash_bucket_size": 50, "sequence_length": 5},
]


@pytest.fixture
def generator():
    return FeatureGenerator.load({"features": FEATURES})


def rows(n, start=0):
    """n rows whose `row` column counts them."""
    rng = np.random.default_rng(start)
    return pa.table(
        {
            "row": np.arange(start, start + n),
            "user": rng.integers(0, 100, n),
            "tags": [["a", "b", "c"][: k % 4] for k in range(n)],
            "price": rng.random(n),
            "clicks": [";".join(str(c) for c in range(k % 9)) for k in range(n)],
        }
    )


@pytest.fixture
def source(tmp_path):
    """A file of 10,000 rows in row groups of 700."""
    pq.write_table(rows(10_000), tmp_path / "in.parquet", row_group_size=700)
    return tmp_path / "in.parquet"


def read_back(path):
    encoded = FeatureGenerator.load({"features": FEATURES}, mode="encoded")
    table = pq.read_table(path)
    return table, encoded.transform(table)


def test_the_file_holds_what_transform_makes_in_the_order_of_the_rows(generator, source, tmp_path, kit):
    done = offline.run(generator, source, tmp_path / "out.parquet", reserve=["row"], rows_per_group=3000)
    table, again = read_back(tmp_path / "out.parquet")
    kit.equal(again, generator.transform(pq.read_table(source)))
    assert table.column_names == ["user", "tags", "price", "clicks", "row"]
    assert table["row"].to_pylist() == list(range(10_000))
    assert (done.rows_in, done.rows_out, done.bad_rows) == (10_000, 10_000, 0)
    assert done.bytes_in == source.stat().st_size
    assert done.bytes_out == (tmp_path / "out.parquet").stat().st_size
    groups = pq.ParquetFile(tmp_path / "out.parquet").metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [3000, 3000, 3000, 1000]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(("block_bytes", "threads"), [(1, 1), (20_000, 3), (1 << 30, 2)])
def test_neither_the_size_of_blocks_nor_threads_change_the_file(
    generator, source, tmp_path, monkeypatch, block_bytes, threads
):
    offline.run(generator, source, tmp_path / "plain.parquet", reserve=["row"])
    monkeypatch.setattr(feed, "BLOCK_BYTES", block_bytes)
    small = source if block_bytes > 1 else pq.read_table(source).slice(0, 50).to_batches()
    offline.run(generator, small, tmp_path / "other.parquet", reserve=["row"], threads=threads)
    expected = pq.read_table(tmp_path / "plain.parquet")
    found = pq.read_table(tmp_path / "other.parquet")
    assert found.equals(expected.slice(0, found.num_rows))
    assert found.num_rows == (50 if block_bytes == 1 else 10_000)


def test_blocks_are_bounded_by_bytes_where_rows_are_wide(tmp_path):
    wide = pa.table({"clicks": [";".join(["12345"] * 2000)] * 6000})  # 12 KB a row, a few bytes each in the file
    pq.write_table(wide, tmp_path / "wide.parquet")
    blocks = list(feed.ParquetFeed([tmp_path / "wide.parquet"]).blocks(["clicks"]))
    assert sum(b.batch.num_rows for b in blocks) == 6000
    assert max(b.batch.nbytes for b in blocks) <= 1.5 * feed.BLOCK_BYTES
    assert len(blocks) >= 4


def test_several_inputs_a_folder_and_a_glob_are_read_in_their_order(generator, tmp_path):
    folder = tmp_path / "many" / "deeper"
    folder.mkdir(parents=True)
    for i in range(3):
        pq.write_table(rows(10, 10 * i), folder / f"p{i}.parquet")
    (folder / "_SUCCESS").write_text("")
    (folder / ".p9.parquet").write_text("hidden")
    for inputs in (
        [folder / "p0.parquet", folder / "p1.parquet", folder / "p2.parquet"],
        tmp_path / "many",
        str(folder / "p*.parquet"),
    ):
        offline.run(generator, inputs, tmp_path / "out.parquet", reserve=["row"], overwrite=True)
        assert pq.read_table(tmp_path / "out.parquet")["row"].to_pylist() == list(range(30))


@pytest.mark.parametrize(
    ("given", "text"),
    [("nowhere.parquet", "no such file"), ("*.nothing", "no file matches"), (".", "holds no parquet file")],
)
def test_inputs_that_lead_to_no_file_are_named(tmp_path, monkeypatch, given, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=text):
        feed.ParquetFeed(find_files(given))


def test_no_rows_make_a_file_without_rows_that_says_its_columns(generator, tmp_path):
    pq.write_table(rows(0), tmp_path / "in.parquet")
    done = offline.run(generator, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert done.rows_out == 0
    assert pq.read_table(tmp_path / "out.parquet").schema.names == ["user", "tags", "price", "clicks"]


def test_features_of_constants_alone_count_the_rows(tmp_path, source):
    constant = {"type": "id", "name": "c", "expression": "const:x", "hash_bucket_size": 9}
    generator = FeatureGenerator.load({"features": [constant]})
    assert offline.run(generator, source, tmp_path / "out.parquet").rows_out == 10_000


def test_a_reserved_column_that_is_called_like_an_output_stands_beside_it(generator, source, tmp_path):
    offline.run(generator, source, tmp_path / "out.parquet", reserve=["user", "row"])
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names[-2:] == ["user:raw", "row"]
    assert table["user:raw"].to_pylist() == pq.read_table(source)["user"].to_pylist()


def test_a_column_of_objects_is_the_columns_of_a_sequence(tmp_path, kit):
    child = {"type": "id", "name": "item", "expression": "item:item", "num_buckets": 9}
    features = [{"type": "sequence", "name": "s", "sequence_length": 3, "features": [child]}]
    generator = FeatureGenerator.load({"features": features})
    table = pa.table({"s": [[{"item": 1}, {"item": 2}], [], None]})
    pq.write_table(table, tmp_path / "in.parquet")
    offline.run(generator, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["s__item"].to_pylist() == [[1, 2], [], []]


class TestBadRows:
    """A price that is no number in row 3 of the second file."""

    @pytest.fixture
    def files(self, tmp_path):
        for i in range(2):
            table = rows(10, 10 * i)
            prices = [str(p) for p in table["price"].to_pylist()]
            prices[3] = "cheap" if i else prices[3]
            table = table.set_column(table.schema.get_field_index("price"), "price", pa.array(prices))
            pq.write_table(table, tmp_path / f"p{i}.parquet", row_group_size=2)
        return [tmp_path / "p0.parquet", tmp_path / "p1.parquet"]

    def test_fail_names_file_row_and_column_and_leaves_nothing(self, generator, files, tmp_path):
        with pytest.raises(DataError) as caught:
            offline.run(generator, files, tmp_path / "out.parquet")
        error = caught.value
        assert (error.file, error.row, error.column) == (str(files[1]), 3, "price")
        assert "'cheap' is not a" in error.reason
        assert sorted(p.name for p in tmp_path.iterdir()) == ["p0.parquet", "p1.parquet"]

    def test_skip_leaves_the_row_out_of_features_and_reserved_columns(self, generator, files, tmp_path):
        done = offline.run(generator, files, tmp_path / "out.parquet", reserve=["row"], bad_rows="skip")
        assert pq.read_table(tmp_path / "out.parquet")["row"].to_pylist() == [r for r in range(20) if r != 13]
        assert (done.rows_in, done.rows_out, done.bad_rows, dict(done.bad)) == (20, 19, 1, {"price": 1})
        assert (done.examples[0].place.file, done.examples[0].place.row) == (str(files[1]), 3)

    def test_default_keeps_the_row(self, generator, files, tmp_path):
        done = offline.run(generator, files, tmp_path / "out.parquet", reserve=["row"], bad_rows="default")
        table = pq.read_table(tmp_path / "out.parquet")
        assert table["row"].to_pylist() == list(range(20))
        assert table["price"][13].as_py() == 0.0
        assert (done.rows_out, done.bad_rows) == (20, 1)


def test_a_missing_column_is_told_with_the_nearest_name(generator, source, tmp_path):
    table = pq.read_table(source).rename_columns(["row", "user", "tag", "price", "clicks"])
    pq.write_table(table, tmp_path / "tag.parquet")
    for inputs in (tmp_path / "tag.parquet", [source, tmp_path / "tag.parquet"]):
        with pytest.raises(DataError, match=r"tag.parquet, column 'tags': the column is missing; did you mean 'tag'\?"):
            offline.run(generator, inputs, tmp_path / "out.parquet")
    with pytest.raises(DataError, match=r"no such column to reserve; did you mean 'row'\?"):
        offline.run(generator, source, tmp_path / "out.parquet", reserve=["rows"])
    assert not (tmp_path / "out.parquet").exists()


def test_a_reserved_column_takes_the_type_of_the_first_file(generator, source, tmp_path):
    table = rows(5).set_column(0, "row", pa.array(["1", "2", "3", "4", "5"]))
    pq.write_table(table, tmp_path / "text.parquet")
    offline.run(generator, [source, tmp_path / "text.parquet"], tmp_path / "out.parquet", reserve=["row"])
    assert pq.read_table(tmp_path / "out.parquet")["row"].to_pylist()[-5:] == [1, 2, 3, 4, 5]
    pq.write_table(table.set_column(0, "row", pa.array(["x"] * 5)), tmp_path / "text.parquet")
    with pytest.raises(DataError, match=r"text.parquet, column 'row': has type string"):
        offline.run(
            generator, [source, tmp_path / "text.parquet"], tmp_path / "o.parquet", reserve=["row"], overwrite=True
        )


def test_a_damaged_file_is_named(generator, source, tmp_path):
    content = bytearray(source.read_bytes())
    content[500:20_000] = bytes(19_500)
    source.write_bytes(content)
    with pytest.raises(DataError, match=r"in.parquet: row group \d+ cannot be read"):
        offline.run(generator, source, tmp_path / "out.parquet")
    source.write_bytes(b"no parquet")
    with pytest.raises(DataError, match="is no readable parquet file"):
        offline.run(generator, source, tmp_path / "out.parquet")
    assert [p.name for p in tmp_path.iterdir()] == ["in.parquet"]


def test_what_is_there_is_kept_unless_it_may_be_replaced(generator, source, tmp_path):
    out = tmp_path / "out.parquet"
    out.write_text("precious")
    with pytest.raises(OutputError, match="is there already"):
        offline.run(generator, source, out)
    assert out.read_text() == "precious"
    offline.run(generator, source, out, overwrite=True)
    assert pq.read_metadata(out).num_rows == 10_000
    with pytest.raises(OutputError, match="one of the files that are read"):
        offline.run(generator, tmp_path, out, overwrite=True)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        offline.run(generator, source, tmp_path / "folder")


def test_an_encoded_generator_is_refused(source, tmp_path):
    encoded = FeatureGenerator.load({"features": FEATURES}, mode="encoded")
    with pytest.raises(ConfigError, match="must read raw ones"):
        offline.run(encoded, source, tmp_path / "out.parquet")


def test_the_schema_says_which_generator_made_the_file(generator, source, tmp_path):
    offline.run(generator, source, tmp_path / "out.parquet")
    origin = read_origin(pq.read_schema(tmp_path / "out.parquet").metadata)
    assert origin.fingerprint == generator.fingerprint
    assert origin.features["tags"]["hash_bucket_size"] == 1000


def test_progress_is_told_up_to_the_end(generator, source, tmp_path):
    seen = []
    offline.run(generator, source, tmp_path / "out.parquet", progress=lambda rows, share: seen.append((rows, share)))
    assert seen[-1] == (10_000, 1.0)
    assert [r for r, _ in seen] == sorted(r for r, _ in seen)


# -------------------------------------------------------------------------------------- a process of its own

SCRIPT = """
import resource, sys
from feature_generator import FeatureGenerator, offline
limit, features, source, out = int(sys.argv[1]), {features!r}, sys.argv[2], sys.argv[3]
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
generator = FeatureGenerator.load({{"features": features}})
progress = lambda rows, share: print(rows, flush=True)
try:
    offline.run(generator, source.split(",") * int(sys.argv[4]), out, rows_per_group=200, overwrite=True, progress=progress)
except Exception as error:
    print(type(error).__name__, error)
print(open("/proc/self/status").read())
"""


def process(source, out, limit=0, copies=1):
    words = [str(limit), str(source), str(out), str(copies)]
    command = [sys.executable, "-c", SCRIPT.format(features=FEATURES), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_a_full_disk_is_told_and_leaves_what_was_there(source, tmp_path):
    out = tmp_path / "out.parquet"
    out.write_text("precious")
    with process(source, out, limit=20_000) as running:  # no file may grow beyond 20 KB: as good as a full disk
        told = running.stdout.read()
    assert f"OutputError cannot write {out}: File too large" in told
    assert out.read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.parquet", "out.parquet"]


def test_a_killed_run_leaves_no_half_of_a_file_and_the_next_one_cleans_up(source, generator, tmp_path):
    out = tmp_path / "out.parquet"
    with process(source, out, copies=2000) as running:
        assert int(running.stdout.readline()) > 0
        running.send_signal(signal.SIGKILL)
    assert running.returncode == -signal.SIGKILL
    assert not out.exists()
    assert [p.name for p in tmp_path.glob(".*")] == [".out.parquet.writing"]
    offline.run(generator, source, out)
    assert pq.read_metadata(out).num_rows == 10_000
    assert not list(tmp_path.glob(".*"))


def test_two_runs_do_not_write_one_file(source, generator, tmp_path):
    out = tmp_path / "out.parquet"
    with process(source, out, copies=2000) as running:
        assert int(running.stdout.readline()) > 0
        with pytest.raises(OutputError, match="another process is writing"):
            offline.run(generator, source, out)
        running.kill()


def test_the_threads_end_with_an_error(generator, source, tmp_path):
    import threading

    before = threading.active_count()

    def stop(rows, share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        offline.run(generator, source, tmp_path / "out.parquet", progress=stop)
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
    assert [p.name for p in tmp_path.iterdir()] == ["in.parquet"]


def test_memory_does_not_grow_with_the_input(tmp_path):
    """100 MB and 800 MB of text need the same memory, within 150 MB."""
    wide = pa.table({"user": [1] * 2000, "tags": [["a"]] * 2000, "price": [0.5] * 2000})
    texts = [";".join(f"{r * 31 + c:07d}" for c in range(625)) for r in range(2000)]  # 5 KB each
    pq.write_table(wide.append_column("clicks", pa.array(texts)), tmp_path / "in.parquet")
    peaks = []
    for copies in (10, 80):
        with process(tmp_path / "in.parquet", tmp_path / "out.parquet", copies=copies) as running:
            peaks.append(int(running.stdout.read().split("VmHWM:")[1].split()[0]))
    assert peaks[1] - peaks[0] < 150_000, peaks
