"""Work that an engine shares out: what several processes write is what one would, whatever happens on the way."""

import gzip
import json
import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.data.encoded_parts import Encoding
from easyrec.data.encoded_spread import encode_spread
from easyrec.data.engines import engine_config, words_of_engine
from easyrec.data.engines.spark import check_java
from easyrec.data.feed import feed_of, source_of
from easyrec.data.sources.delta import Config as Delta
from easyrec.data.sources.frame import FrameSource
from easyrec.data.sources.sql import Config as Sql
from easyrec.data.spread import divisible, folder_of
from easyrec.data.travel import Travelled
from easyrec.errors import ConfigError, DataError, EngineError, MissingExtra, RunError
from feature_generator import FeatureGenerator, offline, plugins
from feature_generator.config import members, plug

FEATURES = [
    {"type": "id", "name": "user_id", "expression": "user:user_id", "hash_bucket_size": 100},
    {"type": "id", "name": "tags", "expression": "item:tags", "vocab_list": ["a", "b"]},
    {"type": "raw", "name": "price", "expression": "item:price"},
]
CONFIG = engine_config({"type": "ray", "slice_rows": 250})  # only its slices are read here

FATAL = """
import os, signal
from pathlib import Path
from pydantic import Field
from feature_generator.config import StrictModel
from feature_generator.operators import CustomOperator

class Parameters(StrictModel):
    deaths: str

class Operator(CustomOperator):
    parameters = Parameters

    def __call__(self, column):
        left = int(Path(self.params.deaths).read_text())
        if left:
            Path(self.params.deaths).write_text(str(left - 1))
            os.kill(os.getpid(), signal.SIGKILL)
        return column
"""
"""Kills the process that computes it, as often as a file says."""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working folder, with two files of 300 rows in six row groups."""
    monkeypatch.chdir(tmp_path)
    for day in (0, 1):
        write(f"days/{day}.parquet", [day * 300 + row for row in range(300)])
    return tmp_path


def write(path, rows, price=float):
    Path(path).parent.mkdir(exist_ok=True)
    columns = {
        "user_id": [row % 30 for row in rows],
        "tags": [["a", "b", "c"][: row % 4] for row in rows],
        "price": [price(row / 10) for row in rows],
        "row": list(rows),
    }
    pq.write_table(pa.table(columns), path, row_group_size=100)


def encode(engine, rows="days", folder="parts", config=CONFIG, overwrite=False, **options):
    return encode_spread(
        FeatureGenerator.load({"features": FEATURES}),
        source_of(rows, []),
        Path(folder),
        config,
        engine,
        Encoding(("row",), **options),
        overwrite=overwrite,
    )


def alone(rows="days", output="whole.parquet", **options):
    generator = FeatureGenerator.load({"features": FEATURES})
    return offline.run(generator, feed_of(source_of(rows, []).open()), output, reserve=["row"], **options)


def parts(folder="parts"):
    return [pq.read_table(path) for path in sorted(Path(folder).glob("*.parquet"))]


def test_engines_are_those_of_the_folder():
    assert members("easyrec.data.engines") == ("ray", "spark")


def test_parts_together_are_what_one_process_writes(here, processes):
    alone()
    summary, spread = encode(processes)
    whole = pq.read_table("whole.parquet")
    assert pa.concat_tables(parts()).equals(whole)
    assert all(part.schema.equals(whole.schema, check_metadata=True) for part in parts())
    assert sorted(path.name for path in Path("parts").iterdir()) == [
        "00000.parquet",
        "00001.parquet",
        "00002.parquet",
        "_JOB.json",
        "_SUCCESS",
    ]
    assert json.loads(Path("parts/_SUCCESS").read_text())["parts"] == {"00000": 200, "00001": 200, "00002": 200}
    assert (summary.rows_in, summary.rows_out, summary.bad_rows) == (600, 600, 0)
    assert summary.bytes_out == sum(path.stat().st_size for path in Path("parts").glob("*.parquet"))
    assert (spread.rows, spread.slices, spread.kept, len(spread.workers)) == (600, 3, 0, 1)
    assert str(os.getpid()) not in spread.workers[0]


@pytest.mark.parametrize("policy", ["skip", "default"])
def test_bad_rows_are_counted_over_all_workers(here, processes, policy):
    write("bad.parquet", range(600), lambda price: "cheap" if price in (12.3, 55.5) else str(price))
    told = alone("bad.parquet", bad_rows=policy)
    summary, _ = encode(processes, "bad.parquet", bad_rows=policy)
    assert pa.concat_tables(parts()).equals(pq.read_table("whole.parquet"))
    for name in ("rows_in", "rows_out", "bad_rows", "bad", "examples", "dropped"):
        assert getattr(summary, name) == getattr(told, name), name
    assert summary.bad == {"price": 2}


def test_a_bad_row_is_named_as_one_process_names_it_and_costs_its_slice_alone(here, processes):
    write("bad.parquet", range(600), lambda price: "cheap" if price == 25.0 else str(price))
    with pytest.raises(DataError) as expected:
        alone("bad.parquet")
    with pytest.raises(DataError) as error:
        encode(processes, "bad.parquet")
    assert str(error.value) == str(expected.value)
    assert "bad.parquet, row 250, column 'price'" in str(error.value)
    assert [path.name for path in sorted(Path("parts").glob("*.parquet"))] == ["00000.parquet", "00002.parquet"]
    assert not Path("parts/_SUCCESS").exists()


def test_several_slices_that_fail_are_listed(here, processes):
    write("bad.parquet", range(600), lambda price: "cheap" if price in (5.0, 59.9) else str(price))
    with pytest.raises(DataError, match=r"2 of 3 slices failed, the others are done:\n  00000: .*row 50.*\n  00002: "):
        encode(processes, "bad.parquet")


def test_only_what_is_missing_is_done_anew(here, processes):
    encode(processes)
    Path("parts/_SUCCESS").unlink()
    Path("parts/00001.parquet").unlink()
    Path("parts/00002.parquet").write_bytes(b"half of it")
    kept = Path("parts/00000.parquet").stat().st_mtime_ns
    summary, spread = encode(processes)
    assert (spread.kept, spread.rows, summary.rows_in) == (1, 600, 400)
    assert Path("parts/00000.parquet").stat().st_mtime_ns == kept
    assert [part.num_rows for part in parts()] == [200, 200, 200]


def test_what_is_there_stays_unless_it_may_go(here, processes):
    encode(processes)
    with pytest.raises(RunError, match=r"parts is there already: --overwrite"):
        encode(processes)
    with pytest.raises(RunError, match="parts is there already"):
        encode(processes, compression="lz4")
    encode(processes, "days/0.parquet", overwrite=True)
    assert [part.num_rows for part in parts()] == [200, 100]


def test_unfinished_parts_of_other_work_are_refused(here, processes):
    encode(processes)
    Path("parts/_SUCCESS").unlink()
    with pytest.raises(RunError, match=r"parts of other work \(--compression differ\)"):
        encode(processes, compression="lz4")


def test_nothing_is_removed_that_was_not_written_so(here, processes):
    before = sorted(here.rglob("*"))
    for overwrite in (False, True):
        with pytest.raises(RunError, match=r"days holds 0\.parquet"):
            encode(processes, folder="days", overwrite=overwrite)
    assert sorted(here.rglob("*")) == before
    Path("file").write_text("")
    with pytest.raises(RunError, match="file is a file: name a folder"):
        encode(processes, folder="file")


@pytest.fixture
def fatal(here, monkeypatch):
    """`(deaths)`: a generator that kills as many processes, in a package of the working folder."""
    Path("acme/operators").mkdir(parents=True)
    for folder in ("acme", "acme/operators"):
        Path(folder, "__init__.py").write_text("")
    Path("acme/operators/fatal.py").write_text(FATAL)
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.setattr(plugins, "packages", [])
    plug("acme")

    def made(deaths):
        Path("deaths").write_text(str(deaths))
        feature = {"type": "custom", "name": "x", "operator_name": "Fatal", "expression": ["item:price"]}
        feature |= {"operator_params": {"deaths": "deaths"}}
        Path("deaths").write_text("0")
        generator = FeatureGenerator.load({"features": [feature]})
        Path("deaths").write_text(str(deaths))
        return generator

    yield made
    monkeypatch.undo()
    members.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme"]:
        del sys.modules[name]


def test_what_a_killed_worker_held_goes_to_another_and_is_there_once(fatal, processes):
    encode_spread(fatal(1), source_of("days", []), Path("parts"), CONFIG, processes, Encoding(("row",)))
    assert [row for part in parts() for row in part["row"].to_pylist()] == list(range(600))
    assert Path("deaths").read_text() == "0"
    assert sorted(path.name for path in Path("parts").iterdir() if path.name.startswith(".")) == []


@pytest.mark.slow
def test_a_slice_that_kills_every_worker_is_given_up(fatal, processes):
    rows, one = source_of("days", []), engine_config({"type": "ray", "slice_rows": 600})
    generator = fatal(99)
    with pytest.raises(EngineError, match=r"1 of 1 slices failed.*\n  00000: its worker died 4 times"):
        encode_spread(generator, rows, Path("parts"), one, processes, Encoding())
    assert Path("deaths").read_text() == "95"


def test_a_worker_that_sees_other_rows_does_not_do_its_own(here, processes):
    class Later(type(processes)):
        """Rows that change between the look of the driver and that of the worker."""

        def run(self, task, numbers, progress):
            write("days/1.parquet", range(150))
            return processes.run(task, numbers, progress)

    with pytest.raises(RunError, match="sees other rows than this machine: files differ, or have changed"):
        encode(Later(1))


def test_a_folder_that_workers_do_not_see_is_told(here, processes):
    class Elsewhere(type(processes)):
        """Workers on a machine without the folder."""

        def run(self, task, numbers, progress):
            setting = replace(task.setting, folder="/no/such/folder")
            return processes.run(replace(task, setting=setting), numbers, progress)

    with pytest.raises(RunError, match=r"/no/such/folder is not there on .*: the output must lie where all workers"):
        encode(Elsewhere(1))


def test_a_missing_column_is_told_before_anyone_works(here, processes):
    rows = source_of("days", [])
    generator = FeatureGenerator.load({"features": [{"type": "raw", "name": "p", "expression": "item:prise"}]})
    with pytest.raises(DataError, match="prise"):
        encode_spread(generator, rows, Path("parts"), CONFIG, processes, Encoding())
    assert not Path("parts").exists()


def test_a_file_that_only_one_worker_could_read_is_refused(here, processes):
    with gzip.open("rows.csv.gz", "wt") as file:
        file.write("user_id,tags,price,row\n1,a,2.5,0\n")
    with pytest.raises(ConfigError, match=r"rows.csv.gz is compressed as a whole.*: write parquet, or several files"):
        encode(processes, "rows.csv.gz")


def test_rows_without_an_end_are_refused():
    source = FrameSource({"x": [1]})
    source.endless = True
    with pytest.raises(ConfigError, match="rows without an end cannot be shared out by an engine: let the source end"):
        divisible(source)


@pytest.mark.parametrize("output", ["scores.parquet", "scores.CSV", "s3://bucket/scores"])
def test_the_output_of_an_engine_is_a_folder(output):
    with pytest.raises(ConfigError, match="output"):
        folder_of(output)


def test_a_source_travels_with_its_secrets_and_shows_none():
    config = Sql(type="sql", uri="postgresql://me:secret@host/db", table="t", order_by="id")
    travelled = pickle.loads(pickle.dumps(Travelled.of(config)))
    assert travelled.config["uri"] == "postgresql://me:secret@host/db"
    assert "secret" not in repr(travelled)
    assert Sql.model_validate(travelled.config) == config


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("rai", "did you mean 'ray'"),
        ({"type": "ray", "worker": 2}, "did you mean 'workers'"),
        ({"type": "spark", "workers": 0}, "workers"),
    ],
)
def test_what_is_no_engine_is_told(given, told):
    with pytest.raises(ConfigError, match=told):
        engine_config(given)


def test_words_are_keys_and_those_with_dots_the_engine_s_own():
    words = [("workers", "2"), ("hive", "true"), ("spark.executor.memory", "8g")]
    found = engine_config({"type": "spark", **words_of_engine(words)})
    assert (found.workers, found.hive, found.conf) == (2, True, {"spark.executor.memory": "8g"})
    with pytest.raises(ConfigError, match="not valid YAML"):
        words_of_engine([("workers", "[2")])


@pytest.mark.parametrize(
    ("version", "told"),
    [(None, "there is none in JAVA_HOME"), ("1.8.0_412", "java is 8"), ("11.0.2", "java is 11"), ("17.0.1", None)],
)
def test_a_java_that_is_missing_or_too_old_is_told(tmp_path, monkeypatch, version, told):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    if version is not None:
        java = tmp_path / "bin" / "java"
        java.parent.mkdir()
        java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        java.chmod(0o755)
    if told is None:
        check_java()
        return
    with pytest.raises(EngineError, match=f"needs Java 17 or newer, and .*{told}.*: apt-get install"):
        check_java()


@pytest.mark.parametrize(("name", "package"), [("ray", "ray"), ("spark", "pyspark")])
def test_an_engine_that_is_not_installed_names_the_extra(monkeypatch, name, package):
    for module in [module for module in sys.modules if module.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"'{package}': pip install '.*\[{name}\]'"):
        engine_config(name).open()


class Writing:
    """An engine before whose work somebody writes to a table."""

    def __init__(self, engine, write):
        self.engine, self.write = engine, write

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def run(self, task, numbers, progress):
        self.write()
        return self.engine.run(task, numbers, progress)


def test_workers_read_the_version_of_a_table_that_was_opened_first(here, processes):
    deltalake = pytest.importorskip("deltalake", reason="needs the extra 'delta'")

    def append():
        deltalake.write_deltalake("log", pq.read_table("days").sort_by("row"), mode="append")

    append()
    generator = FeatureGenerator.load({"features": FEATURES})
    rows = Delta(path=str(here / "log"))
    encode_spread(generator, rows, Path("parts"), CONFIG, Writing(processes, append), Encoding(("row",)))
    assert [row for part in parts() for row in part["row"].to_pylist()] == list(range(600))
    assert rows.open().num_rows == 1200
