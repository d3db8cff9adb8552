"""`easyrec train`, `evaluate` and `predict` on sources other than parquet, by the command line alone."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from easyrec.cli import main
from easyrec.config import load_experiment
from easyrec.errors import ConfigError
from easyrec.train.interrupt import Interrupted
from easyrec.train.snapshot import read_folder
from easyrec.train.trainer import Trainer

CONFIG = """\
name: tiny
data:
  train: SOURCE
  valid: SOURCE
  labels: [click]
  reserved: [row]
  batch_size: 100
features:
  - {type: id, name: user_id, expression: "user:user_id", num_buckets: 30, embedding_dim: 4}
  - {type: raw, name: price, expression: "item:price"}
model: {type: deepfm, hidden: [8]}
train: {epochs: 1, threads: 1, sparse_optimizer: {type: lazy_adam, lr: 0.05}}
"""


def rows():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "row": np.arange(300),
            "user_id": rng.integers(0, 30, 300),
            "price": rng.random(300).round(3),
            "click": (rng.random(300) < 0.4).astype(int),
        }
    )


def as_jsonl(monkeypatch):
    rows().to_json("rows.jsonl", orient="records", lines=True)
    return "{type: jsonl, path: rows.jsonl}"


def as_sqlite(monkeypatch):
    pytest.importorskip("adbc_driver_sqlite", reason="needs the extra 'sql'")
    with closing(sqlite3.connect("rows.db")) as database, database:
        database.execute("CREATE TABLE rows (row INTEGER PRIMARY KEY, user_id INTEGER, price REAL, click INTEGER)")
        database.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", rows().to_numpy().tolist())
    monkeypatch.setenv("DB_URI", "sqlite:///rows.db")
    return '{type: sql, uri: "${DB_URI}", table: rows, order_by: row, unit_rows: 100}'


def as_postgresql(monkeypatch, postgres):
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(postgres, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS trained")
        cursor.execute(
            "CREATE TABLE trained (row int PRIMARY KEY, user_id int, price double precision, click smallint)"
        )
        values = ", ".join(
            f"({row:.0f}, {user:.0f}, {price}, {click:.0f})" for row, user, price, click in rows().to_numpy()
        )
        cursor.execute(f"INSERT INTO trained VALUES {values}")
    monkeypatch.setenv("DB_URI", postgres)
    return '{type: sql, uri: "${DB_URI}", query: "SELECT * FROM trained", order_by: row, unit_rows: 100}'


def as_kafka(kafka, partitions=1, **settings):
    topic = kafka.topic(partitions)
    for partition in range(partitions):
        kafka.send(topic, rows().iloc[partition::partitions].to_dict("records"), partition)
    settings = {"type": "kafka", "brokers": kafka.address, "topic": topic, "unit_rows": 40} | settings
    return json.dumps(settings)  # which is YAML


# What changes a table meanwhile comes back with it: `grow(n)`, the n-th time.


def as_delta(folder):
    deltalake = pytest.importorskip("deltalake", reason="needs the extra 'delta'")
    path, properties = str(folder / "delta"), deltalake.WriterProperties(max_row_group_size=40)
    for first in (0, 180):
        part = pa.Table.from_pandas(rows().iloc[first : first + 180], preserve_index=False)
        deltalake.write_deltalake(path, part, mode="append", writer_properties=properties)

    def grow(number):
        more = pa.Table.from_pandas(rows().iloc[:50], preserve_index=False).append_column("new", pa.array([1.5] * 50))
        deltalake.write_deltalake(path, more, mode="append", schema_mode="merge")
        deltalake.DeltaTable(path).delete(f"row = {number}")

    return json.dumps({"type": "delta", "path": path}), grow


def as_iceberg(folder):
    pytest.importorskip("pyiceberg", reason="needs the extra 'iceberg'")
    from pyiceberg.catalog import load_catalog
    from pyiceberg.types import DoubleType

    properties = {"type": "sql", "uri": f"sqlite:///{folder}/catalog.db", "warehouse": f"file://{folder}"}
    whole = pa.Table.from_pandas(rows(), preserve_index=False)
    with closing(load_catalog("default", **properties)) as catalog:
        catalog.create_namespace("shop")
        table = catalog.create_table(
            "shop.rows", schema=whole.schema, properties={"write.parquet.row-group-limit": "40"}
        )
        table.append(whole)

    def grow(number):
        with closing(load_catalog("default", **properties)) as catalog:
            table = catalog.load_table("shop.rows")
            if number == 1:
                with table.update_schema() as update:
                    update.add_column("new", DoubleType())
            table.append(whole.slice(0, 50))
            table.delete(f"row = {number}")

    return json.dumps({"type": "iceberg", "table": "shop.rows", "properties": properties}), grow


def as_maxcompute(server):
    columns = {"row": "bigint", "user_id": "bigint", "price": "double", "click": "bigint"}
    whole = pa.Table.from_pandas(rows(), preserve_index=False)
    parts = {f"dt={day}": whole.slice(100 * day, 100) for day in range(3)}
    server.table("rows", columns, parts, {"dt": "string"})

    def grow(number):
        server.write("rows", f"dt={10 + number}", whole.slice(0, 50))
        if number % 2:
            server.fails(forget=True)  # as the tunnel does after a day

    return json.dumps({"type": "maxcompute", "table": "rows", "unit_rows": 40, **server.settings}), grow


def as_hive(metastore, folder):
    columns = {"row": "bigint", "user_id": "bigint", "price": "double", "click": "bigint"}
    metastore.table("trained", columns, folder / "hive", {"dt": "string"})

    def add(name, frame):
        frame.to_parquet(metastore.partition("trained", [name]) / "000000_0", row_group_size=40)

    for day in range(3):
        add(str(day), rows().iloc[100 * day : 100 * day + 100])
    source = {"type": "hive", "metastore": metastore.url, "table": "default.trained"}
    return json.dumps(source), lambda number: add(str(10 + number), rows().iloc[:50])


def table_of(kind, request, folder):
    """A source of the kind, and what changes its table."""
    if kind == "maxcompute":
        return as_maxcompute(request.getfixturevalue("maxcompute"))
    if kind == "hive":
        return as_hive(request.getfixturevalue("metastore"), folder)
    return {"delta": as_delta, "iceberg": as_iceberg}[kind](folder)


TABLES = ["delta", "iceberg", "maxcompute", "hive"]


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "kind", ["jsonl", "sqlite", "postgresql", "kafka", *(pytest.param(kind, marks=pytest.mark.slow) for kind in TABLES)]
)
def test_a_model_is_trained_and_predicts_as_on_parquet(kind, tmp_path, monkeypatch, request, capsys):
    with contextlib.chdir(tmp_path):
        rows().to_parquet("rows.parquet")
        if kind == "postgresql":
            uri = request.getfixturevalue("postgres")
            source = as_postgresql(monkeypatch, uri)
        elif kind == "kafka":
            source = as_kafka(request.getfixturevalue("kafka"))
        elif kind in TABLES:
            source, _ = table_of(kind, request, tmp_path)
        else:
            source = {"jsonl": as_jsonl, "sqlite": as_sqlite}[kind](monkeypatch)
        # Units differ from a parquet file's, so rows are read in order: equal rows give equal numbers.
        config = CONFIG.replace("batch_size: 100", "batch_size: 100\n  shuffle: false")
        (tmp_path / "other.yaml").write_text(config.replace("SOURCE", source).replace("name: tiny", "name: other"))
        (tmp_path / "tiny.yaml").write_text(config.replace("SOURCE", "{type: parquet, path: rows.parquet}"))
        for name in ("tiny", "other"):
            assert main(["train", "-c", f"{name}.yaml", "--no-bar"]) == 0
        metrics = [json.loads((tmp_path / "runs" / name / "metrics.json").read_text()) for name in ("tiny", "other")]
        assert metrics[0]["valid"] == metrics[1]["valid"]
        if kind == "postgresql":  # neither as it is written nor as it is meant
            shown = capsys.readouterr()
            assert "s3cr" not in shown.out + shown.err
            assert len(files(tmp_path / "runs" / "other")) > 5
            assert not [path for path in files(tmp_path / "runs") if b"s3cr" in path.read_bytes()]


# ------------------------------------------------------------------------- topics that grow, and endless ones


def settings_of(source, epochs=None, steps=None, every=3, **more):
    """A config of training alone."""
    config = yaml.safe_load(CONFIG.replace("SOURCE", source).replace("batch_size: 100", "batch_size: 20"))
    del config["data"]["valid"]
    config["data"] |= more
    config["train"] |= {"epochs": epochs, "steps": steps, "checkpoint": {"every": {"steps": every}}, "log_every": 1}
    return config


def outcome(path):
    """Weights and what was told of the way there, without clocks."""
    newest = read_folder(max((path / "checkpoints").iterdir(), key=lambda p: int(p.name.removeprefix("step-"))))
    tensors = {f"{a}/{b}": t.numpy().tobytes() for a, part in newest.tensors.items() for b, t in part.items()}
    tables = {name: array.tobytes() for name, array in newest.arrays.items()}
    progress = [json.loads(line) for line in (path / "progress.jsonl").read_text().splitlines()]
    clocks = ("seconds", "samples_per_second")
    told = [{key: value for key, value in record.items() if key not in clocks} for record in progress]
    return tensors, tables, told, newest.state["samples"]


def train(config, path, kind=Trainer, resume=False):
    return kind(load_experiment(config), path, resume=resume, bar=False, export=False)


class Crashing(Trainer):
    at = 0

    def _learn(self, batch):
        if self.step == self.at:
            raise KeyError
        super()._learn(batch)


@pytest.mark.parametrize("at", [2, 11])
def test_a_topic_that_has_grown_is_resumed_as_it_was(kafka, tmp_path, at):
    config = settings_of(as_kafka(kafka, 3, message_time="sent_at"), epochs=1, event_time="sent_at")
    train(config, tmp_path / "whole").fit()
    with pytest.raises(KeyError):
        train(config, tmp_path / "run", type("At", (Crashing,), {"at": at})).fit()
    if at > 3:  # before there is a checkpoint nothing is pinned
        kafka.send(config["data"]["train"]["topic"], rows().iloc[:50].to_dict("records"), 1)
    train(config, tmp_path / "run", resume=True).fit()
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
    newest = max((tmp_path / "run" / "checkpoints").iterdir(), key=lambda p: int(p.name.removeprefix("step-")))
    assert read_folder(newest).state["event_time"].startswith("20")


@pytest.mark.parametrize("at", [pytest.param(2, marks=pytest.mark.slow), 11])
@pytest.mark.parametrize("kind", TABLES)
def test_a_table_that_was_written_to_is_resumed_as_it_was(kind, at, request, tmp_path):
    source, grow = table_of(kind, request, tmp_path)
    config = settings_of(source, epochs=1)
    config["data"]["valid"] = config["data"]["train"]
    train(config, tmp_path / "whole").fit()
    with pytest.raises(KeyError):
        train(config, tmp_path / "run", type("At", (Crashing,), {"at": at})).fit()
    if at > 3:  # before there is a checkpoint nothing is pinned
        grow(1)
    resumed = train(config, tmp_path / "run", resume=True)
    resumed.fit()
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
    metrics = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("run", "whole")]
    assert [json.loads(line)["valid"] for line in metrics[0].splitlines()] == [
        json.loads(line)["valid"] for line in metrics[1].splitlines()
    ]
    assert resumed.valid.source.num_rows == 300  # evaluated rows are those of the version, too


def test_an_endless_topic_is_trained_on_until_a_signal_and_then_to_the_last_step(kafka, tmp_path):
    config = settings_of(as_kafka(kafka, 2, follow=True), steps=18)
    trainer = train(config, tmp_path / "run")

    def idle():
        if trainer.step == 15:  # of all that is there
            os.kill(os.getpid(), signal.SIGTERM)
        trainer.heed_signals()

    trainer.loader.idle = idle
    with pytest.raises(Interrupted, match="stopped by SIGTERM at step 15"):
        trainer.fit()
    kafka.send(config["data"]["train"]["topic"], rows().iloc[:70].to_dict("records"), 1)
    train(config, tmp_path / "run", resume=True).fit()
    assert outcome(tmp_path / "run")[3] == 18 * 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 1}, "an epoch of them neither: count in 'steps'"),
        ({"every": None}, "count in 'steps' or 'seconds'"),
        ({"valid": True}, "can be learned from, but neither evaluated nor predicted"),
        ({"split": {"by": "column", "column": "row"}}, "these have no end: give each part a source"),
    ],
)
def test_what_needs_an_end_is_refused_of_an_endless_topic(kafka, tmp_path, change, message):
    config = settings_of(as_kafka(kafka, follow=True), epochs=change.get("epochs"), steps=5)
    if "every" in change:
        del config["train"]["checkpoint"]
    if "valid" in change:
        config["data"]["valid"] = config["data"]["train"]
    config["data"] |= {key: value for key, value in change.items() if key == "split"}
    with pytest.raises(ConfigError, match=message):
        train(config, tmp_path / "run")


def as_webhdfs(url, folder):
    for part in range(3):
        rows().iloc[part::3].to_parquet(folder / f"part-{part}.parquet", row_group_size=40)
    return json.dumps({"type": "parquet", "path": f"{url}/*.parquet", "storage_options": {"user": "app"}})


def served(kind, request, folder):
    """A source, and what changes its rows meanwhile."""
    if kind in TABLES:
        return table_of(kind, request, folder)
    if kind == "webhdfs":
        return as_webhdfs(*request.getfixturevalue(kind)), lambda number: None
    broker = request.getfixturevalue(kind)
    source = as_kafka(broker, 3, message_time="at")
    topic = json.loads(source)["topic"]
    return source, lambda number: broker.send(topic, rows().iloc[:20].to_dict("records"), number % 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kafka", "webhdfs", *TABLES])
def test_a_run_that_is_killed_at_any_row_ends_as_if_it_were_not(kind, request, tmp_path):
    source, grow = served(kind, request, tmp_path)
    config = settings_of(source, epochs=15, every=5, **({"event_time": "at"} if kind == "kafka" else {}))
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "data.json").write_text("null")
    script = Path(__file__).parent / "train" / "killed_run.py"
    command = [sys.executable, str(script), str(tmp_path)]
    chance, runs = random.Random(5), 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runner:

        def run(folder, seconds=None):
            runner.stdin.write(json.dumps([str(tmp_path / folder), seconds]) + "\n")
            runner.stdin.flush()
            return json.loads(runner.stdout.readline())

        assert run("whole")[0] == 0
        lasted = run("again")[1]  # the first one has imported what all need
        killed = code = 0
        while killed < 8 and runs < 40:
            code, _ = run("run", chance.uniform(0.1, 0.6) * lasted)
            killed, runs = killed + (code == -signal.SIGKILL), runs + 1
            if any((tmp_path / "run" / "checkpoints").glob("step-*")):  # it grows meanwhile
                grow(runs)
            if code == 0:
                break
        assert killed
        assert run("run")[0] == 0
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
