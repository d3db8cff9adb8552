"""What `test_spark.py` looks at, done in a process of its own over one session: `spark_run.py FOLDER`, told in FOLDER/told.json."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.data.engines import engine_config
from easyrec.errors import FeatureGeneratorError
from easyrec.store.definitions import load_store
from easyrec.store.point_in_time import training_set
from easyrec.store.spark import training_set_by_spark

START = 1_767_225_600
KINDS = {"plain": pa.timestamp("us"), "zoned": pa.timestamp("us", "UTC"), "seconds": pa.int64()}


def times(values, kind):
    values = START + np.asarray(values)
    return pa.array(values if kind == "seconds" else values * 1_000_000, KINDS[kind])


def write_tables(folder):
    """Three views with ties, gaps, late and future rows, one of them in folders by day, and a spine."""
    rng, rows = np.random.default_rng(3), 4000
    for name, kind, keys in (("user", "zoned", 60), ("item", "seconds", 40)):
        event = rng.integers(0, 500, rows) * 600
        table = {f"{name}_id": rng.integers(0, keys, rows), "ts": times(event, kind)}
        table |= {
            "made": times(event + rng.integers(-3, 4, rows) * 600, kind),
            f"{name}_value": np.arange(rows),
            f"{name}_text": pa.array([None if n % 7 == 0 else f"t{n}" for n in range(rows)]),
        }
        (folder / name).mkdir()
        for part in range(2):  # the last row of the table is in the second file
            pq.write_table(pa.table(table).slice(part * rows // 2, rows // 2), folder / name / f"{part}.parquet")
    day = rng.integers(0, 4, rows)
    table = {"user_id": rng.integers(0, 60, rows).astype(str), "day_value": rng.random(rows)}
    table["ts"] = times(day * 86_400 + rng.integers(0, 86_400, rows), "plain")
    for one in range(4):
        (folder / "days" / f"ds=2026010{one + 1}").mkdir(parents=True)
        pq.write_table(
            pa.table(table).filter(pa.array(day == one)), folder / "days" / f"ds=2026010{one + 1}" / "0.parquet"
        )
    spine = {"user_id": rng.integers(0, 70, 2000), "item_id": rng.integers(0, 50, 2000), "row": np.arange(2000)}
    spine |= {"shown": times(rng.integers(0, 500, 2000) * 600, "zoned"), "click": rng.integers(0, 2, 2000)}
    table = pa.table(spine)
    pq.write_table(table, folder / "spine.parquet")
    return table


def definitions(folder, **more):
    def view(name, entity, fields, path, **rest):
        source = {"type": "parquet", "path": str(folder / path), **rest.pop("source", {})}
        return {"name": name, "entity": entity, "source": source, "fields": fields, **rest}

    long, text, real = ({"type": kind} for kind in ("int64", "string", "float"))
    return load_store(
        {
            "project": "p",
            "entities": [{"name": "user", "join_id": "user_id"}, {"name": "item", "join_id": "item_id"}],
            "views": [
                view(
                    *("users", "user", [{"name": "user_value", **long}, {"name": "user_text", **text}], "user"),
                    event_time="ts",
                    created_time="made",
                    ttl="20h",
                ),
                view("items", "item", [{"name": "item_value", **long}], "item", event_time="ts"),
                view("last", "item", [{"name": "item_text", **text}], "item"),
                view(
                    *("days", "user", [{"name": "day_value", **real}], "days"),
                    event_time="ts",
                    ttl="1d",
                    source={"partition": {"column": "ds"}},
                ),
            ],
            "labels": [
                {
                    "name": "clicks",
                    "source": {"type": "parquet", "path": str(folder / "spine.parquet")},
                    "event_time": "shown",
                    "join_ids": ["user_id", "item_id"],
                    "labels": ["click"],
                    "keep": ["row"],
                }
            ],
            "models": [
                {"name": "m", "features": [{"view": name} for name in ("users", "items", "last", "days")]},
                {"name": "h", "features": [{"view": "users", "alias": {"user_value": "click_"}}]},
            ],
            **more,
        }
    )


def error_of(work):
    try:
        work()
    except FeatureGeneratorError as error:
        return f"{type(error).__name__}: {error}"
    return None


def main(folder):
    folder = Path(folder)
    write_tables(folder)
    config = definitions(folder)
    clicks = config.label("clicks")
    expected = training_set(config, "m", clicks)
    conf = {"spark.sql.warehouse.dir": f"{folder}/warehouse", "spark.sql.shuffle.partitions": "4"}
    conf["spark.hadoop.javax.jdo.option.ConnectionURL"] = f"jdbc:derby:;databaseName={folder}/metastore;create=true"
    engine = engine_config({"type": "spark", "workers": 2, "hive": True, "conf": conf})
    told = {}
    with engine.open() as opened:
        spark = opened.session

        def made(name, config=config, spine=clicks, **options):
            done = training_set_by_spark(spark, config, "m", spine, folder / name, **options)
            rows = pq.read_table(folder / name, partitioning="hive" if "unit" in options else None)
            return done, rows.sort_by("row")

        done, rows = made("out")
        told["equal"] = rows.select(expected.columns).cast(expected.table.schema).equals(expected.table)
        told["told"] = [done.rows, done.columns == expected.columns, done.found == expected.found]
        told["nulls"] = [rows[name].null_count for name in ("user_value", "item_value", "item_text", "day_value")]
        done, rows = made("by_day", unit="day")
        told["by_day"] = rows.select(expected.columns).cast(expected.table.schema).equals(expected.table)
        told["days"] = sorted(path.name for path in (folder / "by_day").glob("ds=*"))
        told["again"] = error_of(lambda: made("out"))
        told["column"] = error_of(lambda: made("no", event_time="when"))

        spark.sql("CREATE DATABASE shop")
        spark.read.parquet(str(folder / "days")).write.partitionBy("ds").saveAsTable("shop.days")
        hive = {"type": "hive", "table": "shop.days", "partition": {"column": "ds"}}
        views = [view.model_dump() for view in config.views]
        views[3] = {**views[3], "source": hive}
        tables = definitions(folder, views=views)
        _, rows = made("hive", tables)
        told["hive"] = rows.select(expected.columns).cast(expected.table.schema).equals(expected.table)
        plan = tables.view("days").source.frame(spark, wanted(tables))._jdf.queryExecution().toString()
        told["pruned"] = "PartitionFilters: [" in plan and "20260102" in plan.split("PartitionFilters: [")[1]
        told["hive_alone"] = error_of(lambda: training_set(tables, "m", clicks))
        views[3] = {**views[3], "source": {**hive, "table": "shop.none"}}
        told["absent"] = error_of(lambda: made("absent", definitions(folder, views=views)))
    (folder / "told.json").write_text(json.dumps(told))


def wanted(config):
    from easyrec.store.point_in_time import wanted_of

    noon = (START + 2 * 86_400 + 43_200) * 1_000_000  # of the third day
    return wanted_of(config.view("days"), "user_id", ["day_value"], (noon, noon))


if __name__ == "__main__":
    main(sys.argv[1])
