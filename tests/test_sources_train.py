"""`easyrec train`, `evaluate` and `predict` on sources other than parquet, by the command line alone."""

import contextlib
import json
import sqlite3
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from easyrec.cli import main

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


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["jsonl", "sqlite", "postgresql"])
def test_a_model_is_trained_and_predicts_as_on_parquet(kind, tmp_path, monkeypatch, request, capsys):
    with contextlib.chdir(tmp_path):
        rows().to_parquet("rows.parquet")
        if kind == "postgresql":
            uri = request.getfixturevalue("postgres")
            source = as_postgresql(monkeypatch, uri)
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
