"""The configs of the page about tables train, on tables that lie where they say; its tables name every key."""

import contextlib
import datetime
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main
from feature_generator.config import member

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "tables.md").read_text(encoding="utf-8")
KINDS = ["maxcompute", "delta", "iceberg", "hive"]


def section(kind):
    return PAGE.partition(f"## `{kind}`")[2].partition("\n## ")[0]


def rows(day, count=200):
    rng = np.random.default_rng(day)
    columns = {"item_id": rng.integers(0, 30, count), "price": rng.random(count)}
    return pa.table(columns | {"click": (rng.random(count) < 0.4).astype(np.int64)})


def as_maxcompute(folder, server, monkeypatch):
    columns = {"item_id": "bigint", "price": "double", "click": "bigint"}
    parts = {f"dt=202601{day}": rows(day) for day in (24, 25, 31)}
    server.table("exposures", columns, parts, {"dt": "string"})
    monkeypatch.setenv("MAXCOMPUTE_ID", server.settings["access_id"])
    monkeypatch.setenv("MAXCOMPUTE_KEY", server.settings["access_key"])
    return ["-o", f"data.train.endpoint={server.settings['endpoint']}", "-o", "data.train.project=shop_dev"], 400


def as_delta(folder):
    deltalake = pytest.importorskip("deltalake", reason="needs the extra 'delta'")
    for day in (30, 31, 1, 2):
        date = pa.array([datetime.date(2025 + (day < 30), 12 if day > 29 else 1, day)] * 200, pa.date32())
        table = rows(day).append_column("day", date)
        deltalake.write_deltalake(folder / "lake" / "exposures", table, mode="append", partition_by=["day"])
    deltalake.write_deltalake(folder / "lake" / "valid", rows(3))
    return [], 400


def as_iceberg(folder):
    pytest.importorskip("pyiceberg", reason="needs the extra 'iceberg'")
    pytest.importorskip("pyiceberg_core", reason="needs pyiceberg-core, to write tables that are partitioned by days")
    from pyiceberg.catalog import load_catalog
    from pyiceberg.transforms import DayTransform

    (folder / "lake").mkdir()
    place = {"uri": "sqlite:///lake/catalog.db", "warehouse": f"file://{folder}/lake"}
    with contextlib.closing(load_catalog("default", type="sql", **place)) as catalog:
        catalog.create_namespace("shop")
        moments = [datetime.datetime(2025, 12, 31), datetime.datetime(2026, 1, 1), datetime.datetime(2026, 1, 2)]
        tables = [rows(i).append_column("at", pa.array([m] * 200, pa.timestamp("us"))) for i, m in enumerate(moments)]
        made = catalog.create_table("shop.exposures", schema=tables[0].schema)
        with made.update_spec() as update:
            update.add_field("at", DayTransform(), "at_day")
        for table in tables:
            made.append(table)
    return [], 400


def as_hive(folder, metastore):
    columns = {"item_id": "bigint", "price": "double", "click": "bigint"}
    metastore.table("exposures", columns, folder / "exposures", {"dt": "string"})
    for day in (24, 25, 31):
        pq.write_table(rows(day), metastore.partition("exposures", [f"202601{day}"]) / "000000_0")
    options = [f"data.train.metastore={metastore.url}", "data.train.table=default.exposures"]
    return [word for option in options for word in ("-o", option)], 400


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_config_of_a_section_trains(kind, tmp_path, monkeypatch, request, capsys):
    with contextlib.chdir(tmp_path):
        if kind == "maxcompute":
            options, count = as_maxcompute(tmp_path, request.getfixturevalue("maxcompute"), monkeypatch)
        elif kind == "hive":
            options, count = as_hive(tmp_path, request.getfixturevalue("metastore"))
        else:
            options, count = {"delta": as_delta, "iceberg": as_iceberg}[kind](tmp_path)
        text = re.search(r"^```yaml\n(.*?)(^---$|^```$)", section(kind), re.MULTILINE | re.DOTALL)[1]
        (tmp_path / "tables.yaml").write_text(text)
        options += ["-o", "data.batch_size=50", "-o", "train.epochs=1", "-o", "train.log_every=1"]
        assert main(["train", "-c", "tables.yaml", "--no-bar", *options]) == 0
        assert len((tmp_path / "runs" / "tables" / "progress.jsonl").read_text().splitlines()) == count // 50
    shown = capsys.readouterr()
    kept = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert len(kept) > 5
    assert "secret" not in shown.out + shown.err
    assert not [path for path in kept if b"secret/+1" in path.read_bytes()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_described(kind):
    listed = re.findall(r"^\| (`[^|]*`) \|", section(kind), re.MULTILINE)
    keys = {key for cell in listed for key in re.findall(r"`(\w+)`", cell)}
    assert keys == set(member("easyrec.data.sources", kind).Config.model_fields) - {"type"}
