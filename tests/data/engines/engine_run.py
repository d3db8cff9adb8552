"""What the tests of an engine look at, done in a process of its own: `engine_run.py ray|spark FOLDER [ADDRESS]`.

Everything runs over one connection, as starting an engine takes seconds, and is told as JSON in FOLDER/told.json.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import easyrec
from easyrec.data.encoded_parts import Encoding
from easyrec.data.encoded_spread import encode_spread
from easyrec.data.engines import engine_config
from easyrec.data.feed import feed_of, source_of
from feature_generator import FeatureGenerator, offline
from feature_generator.config import plug
from feature_generator.errors import FeatureGeneratorError

FEATURES = [
    {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 40},
    {"type": "id", "name": "tags", "expression": "item:tags", "vocab_list": ["a", "b"]},
    {"type": "raw", "name": "price", "expression": "item:price"},
]
FATAL = """
import os, signal
from pathlib import Path
from feature_generator.operators import CustomOperator

class Operator(CustomOperator):
    def __call__(self, column):
        if Path("deadly").exists():
            Path("deadly").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return column
"""


def rows(number, seed):
    random = np.random.default_rng(seed)
    tags = np.array(["a", "b", "c"])
    return pd.DataFrame(
        {
            "user_id": random.integers(0, 40, number),
            "tags": [list(tags[: n % 4]) for n in range(number)],
            "price": random.normal(0, 1, number).astype(np.float32),
            "click": random.integers(0, 2, number),
            "row": np.arange(number),
        }
    )


def whole(folder):
    return pa.concat_tables([pq.read_table(path) for path in sorted(Path(folder).glob("*.parquet"))])


def error_of(work):
    try:
        work()
    except FeatureGeneratorError as error:
        return f"{type(error).__name__}: {error}"
    return None


def main(kind, folder, address=None):
    os.chdir(folder)
    rows(3000, 0).to_parquet("rows.parquet", row_group_size=250)
    bad = rows(3000, 0).assign(price=lambda frame: frame["price"].astype(str))
    bad.loc[[700, 2500], "price"] = "cheap"
    bad.to_parquet("bad.parquet", row_group_size=250)
    Path("acme/operators").mkdir(parents=True)
    for package in ("acme", "acme/operators"):
        Path(package, "__init__.py").write_text("")
    Path("acme/operators/fatal.py").write_text(FATAL)
    sys.path.append(folder)
    generator = FeatureGenerator.load({"features": FEATURES})
    config = engine_config({"type": kind, "workers": 2, "slice_rows": 500, "address": address})
    if kind == "spark":  # a metastore of its own, in the folder
        places = {"spark.sql.warehouse.dir": f"{folder}/warehouse"}
        places["spark.hadoop.javax.jdo.option.ConnectionURL"] = (
            f"jdbc:derby:;databaseName={folder}/metastore;create=true"
        )
        config = config.model_copy(update={"hive": True, "conf": places})
    told = {}
    with config.open() as engine:

        def encode(rows, output, made=generator, **options):
            return encode_spread(
                made, source_of(rows, []), Path(output), config, engine, Encoding(("row", "click"), **options)
            )

        summary, spread = encode("rows.parquet", "encoded")
        offline.run(generator, "rows.parquet", "encoded.parquet", reserve=["row", "click"])
        alone = pq.read_table("encoded.parquet")
        told["fg"] = {
            "equal": whole("encoded").equals(alone),
            "schema": all(
                pq.read_schema(path).equals(alone.schema, check_metadata=True)
                for path in Path("encoded").glob("*.parquet")
            ),
            "rows": [summary.rows_in, summary.rows_out],
            "parts": spread.slices,
            "workers": len(spread.workers),
            "own": any(worker.endswith(f"-{os.getpid()}") for worker in spread.workers),
        }
        summary, _ = encode("bad.parquet", "skipped", bad_rows="skip")
        expected = offline.run(
            generator,
            feed_of(source_of("bad.parquet", []).open()),
            "skipped.parquet",
            reserve=["row", "click"],
            bad_rows="skip",
        )
        told["skip"] = {
            "equal": whole("skipped").equals(pq.read_table("skipped.parquet")),
            "bad": [summary.bad_rows, expected.bad_rows, dict(summary.bad)],
        }
        told["fail"] = [
            error_of(lambda: encode("bad.parquet", "failed")),
            error_of(lambda: offline.run(generator, "bad.parquet", "failed.parquet")),
        ]
        plug("acme")
        feature = {"type": "custom", "name": "x", "operator_name": "Fatal", "expression": ["item:price"]}
        fatal = FeatureGenerator.load({"features": [feature]})
        Path("deadly").write_text("")
        encode("rows.parquet", "killed", fatal)
        told["killed"] = [whole("killed")["row"].to_pylist() == list(range(3000)), Path("deadly").exists()]

        experiment = {
            "name": "toy",
            "data": {"labels": ["click"], "reserved": ["row"], "batch_size": 200, "eval_batch_size": 64},
            "features": FEATURES,
            "model": {"type": "deepfm", "embedding_dim": 4, "hidden": [8]},
            "train": {"epochs": 1, "log_every": 1000},
        }
        easyrec.train(experiment, data={"train": rows(1000, 1)}, run_dir="run", export=False, progress=False)
        shared = config.model_copy(update={"slice_rows": 600})
        found = []
        easyrec.predict("run", "rows.parquet", "scores", engine=shared, told=lambda *both: found.extend(both))
        easyrec.predict("run", "rows.parquet", "scores.parquet")
        told["predict"] = {
            "equal": whole("scores").equals(pq.read_table("scores.parquet")),
            "read": found[0].read,
            "parts": found[1].slices,
        }
        told["refused"] = error_of(lambda: easyrec.predict("run", "rows.parquet", "scores", engine=shared))
        if kind == "spark":
            tables(engine, encode_table(generator, config, engine), shared, told)
        else:
            told["table"] = error_of(lambda: engine.table("db.rows"))
    Path("told.json").write_text(json.dumps(told))


def encode_table(generator, config, engine):
    def encode(table, output):
        return encode_spread(generator, table, Path(output), config, engine, Encoding(("row", "dt")))

    return encode


def tables(engine, encode, config, told):
    """Tables of Spark's catalogue, of which one is partitioned by `dt`."""
    spark = engine._spark
    spark.sql("CREATE DATABASE shop")
    frame = spark.read.parquet("rows.parquet")
    frame.selectExpr("*", "concat('2026-01-0', cast(row % 3 + 1 AS string)) AS dt").write.partitionBy("dt").saveAsTable(
        "shop.rows"
    )
    table = engine.table("shop.rows", "dt >= '2026-01-02'")
    encode(table, "from_table")
    found = whole("from_table").to_pandas().sort_values("row", ignore_index=True)
    expected = pq.read_table("encoded.parquet").to_pandas()
    expected = expected[expected["row"] % 3 != 0].reset_index(drop=True)
    told["table"] = {
        "features": all(
            found[name].astype(str).equals(expected[name].astype(str)) for name in ("user_id", "tags", "price")
        ),
        "days": sorted(found["dt"].unique()),
        "ordered": all(
            pq.read_table(path)["row"].to_pandas().is_monotonic_increasing
            for path in Path("from_table").glob("*.parquet")
            if len(set(pq.read_table(path)["dt"].to_pylist())) == 1
        ),
        "absent": error_of(lambda: engine.table("shop.none")),
        "where": error_of(lambda: engine.table("shop.rows", "dt >")),
        "name": error_of(lambda: engine.table("rows; DROP TABLE x")),
    }
    easyrec.predict("run", None, "table_scores", engine=config, table="shop.rows", output_table="shop.scores")
    scores = spark.sql("SELECT row, click FROM shop.scores ORDER BY row").toArrow().to_pandas()
    alone = pq.read_table("scores.parquet").to_pandas()
    told["table"]["scores"] = [
        scores["row"].tolist() == alone["row"].tolist(),
        bool(np.allclose(scores["click"], alone["click"], rtol=1e-5)),
    ]
    told["table"]["twice"] = error_of(lambda: engine.registrable("shop.scores"))


if __name__ == "__main__":
    main(*sys.argv[1:])
