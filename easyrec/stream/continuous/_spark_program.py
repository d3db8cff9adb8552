"""Structured streaming of Spark, for `spark-submit`: it needs PySpark 4 and nothing else.

What comes is put into a state of parquet, a folder for each micro-batch. The watermark is the least, over the kinds of events, of
the latest time less the lateness; what came behind it in an earlier batch is late, and left out. The rows that the watermark has
passed since the batch before are what a statement makes of the state, and go to a folder of the batch. A batch that is done again
writes the same folders, so each row is there once, whenever this is killed.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

SPEC: dict[str, Any] = json.loads("{}")
END = 1 << 62


class Steps:
    """What is done with each micro-batch.

    Args:
        spark: The session.
        state: Folder of what is kept.
        output: Folder of rows.
    """

    def __init__(self, spark: SparkSession, state: Path, output: Path) -> None:
        self.spark, self.state, self.output = spark, state, output
        (state / "steps").mkdir(parents=True, exist_ok=True)

    def step(self, batch: DataFrame, number: int) -> None:
        """Take events in, and give out what the watermark lets be given out."""
        former = self._told(number - 1)
        place = self.state / "events" / f"{number:010}"
        late = f"__t >= {former['watermark']}"
        batch.where(late).write.mode("overwrite").partitionBy("__kind").parquet(str(place))
        kept = self.spark.read.parquet(str(place)) if any(place.glob("__kind=*")) else None
        latest = dict(former["latest"])
        if kept is not None:
            found = kept.groupBy("__kind").agg({"__t": "max"}).collect()
            latest |= {kind: max(time, latest.get(kind, time)) for kind, time in found}
        all_came = len(latest) == len(SPEC["events"])
        behind = [time - SPEC["events"][kind]["lateness"] for kind, time in latest.items()]
        watermark = max(former["watermark"], min(behind)) if all_came else former["watermark"]
        folders = {**former["folders"], **({place.name: max(latest.values())} if kept is not None else {})}
        if watermark > former["watermark"]:
            self._give(folders, former["watermark"], watermark, number)
        # What only rows before the former watermark needed goes; a batch that is done again may need the rest.
        oldest = -END if SPEC["keep"] is None else former["watermark"] - SPEC["keep"]
        gone = [name for name, newest in folders.items() if newest < oldest]
        for name in gone:
            shutil.rmtree(self.state / "events" / name, ignore_errors=True)
        folders = {name: newest for name, newest in folders.items() if name not in gone}
        told = {"watermark": watermark, "latest": latest, "folders": folders}
        new = self.state / "steps" / f"{number}.new"
        new.write_text(json.dumps(told), encoding="utf-8")
        new.replace(self.state / "steps" / f"{number}.json")
        (self.state / "steps" / f"{number - 2}.json").unlink(missing_ok=True)

    def flush(self) -> None:
        """Give out what still waits, as if no event came any more."""
        done = [int(one.stem) for one in (self.state / "steps").glob("*.json")]
        if done:
            told = self._told(max(done))
            self._give(told["folders"], told["watermark"], END, max(done), "flushed")

    def _told(self, number: int) -> dict[str, Any]:
        place = self.state / "steps" / f"{number}.json"
        if place.exists():
            return dict(json.loads(place.read_text(encoding="utf-8")))
        if number >= 0:
            raise SystemExit(f"{place} is not there: the state is not that of this query's checkpoint")
        return {"watermark": -END, "latest": {}, "folders": {}}

    def _give(self, folders: dict[str, int], low: int, high: int, number: int, what: str = "batch") -> None:
        for kind, told in SPEC["events"].items():
            places = [str(self.state / "events" / name / f"__kind={kind}") for name in folders]
            schema = f"`{kind}` STRUCT<{told['schema']}>"
            there = [place for place in places if Path(place).exists()]
            found = self.spark.read.schema(schema).parquet(*there) if there else self.spark.createDataFrame([], schema)
            found.select(f"`{kind}`.*").createOrReplaceTempView(told["table"])
        rows = self.spark.sql(SPEC["statement"], args={"low": low, "high": high})
        rows.write.mode("overwrite").parquet(str(self.output / f"{what}={number:010}"))


def events(spark: SparkSession) -> DataFrame:
    """All events in one stream."""
    whole: DataFrame | None = None
    for kind, told in SPEC["events"].items():
        if told["format"] == "table":
            source = spark.readStream.table(told["path"])
        else:
            reading = spark.readStream.schema(told["schema"]).option("maxFilesPerTrigger", SPEC["files"])
            source = reading.format(told["format"]).load(told["path"])
        source.createOrReplaceTempView(f"{told['table']}_in")
        one = spark.sql(told["select"]).selectExpr("*", f"'{kind}' AS __kind")
        whole = one if whole is None else whole.unionByName(one, allowMissingColumns=True)
    assert whole is not None
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=f"{SPEC['name']}, as events come")
    parser.add_argument("--state", type=Path, required=True, help="folder of what is kept, and of the checkpoint")
    parser.add_argument("--output", type=Path, required=True, help="folder of rows")
    parser.add_argument("--every", default="10 seconds", help="how often events are taken in [10 seconds]")
    parser.add_argument("--until", choices=("end",), help="end where the events end now")
    parser.add_argument("--flush", action="store_true", help="then give out what still waits")
    args = parser.parse_args()
    spark = SparkSession.builder.appName(SPEC["name"]).config("spark.sql.session.timeZone", "UTC").getOrCreate()
    steps = Steps(spark, args.state, args.output)
    writing = events(spark).writeStream.foreachBatch(steps.step)
    writing = writing.option("checkpointLocation", str(args.state / "checkpoint"))
    once = {"availableNow": True} if args.until else {"processingTime": args.every}
    writing.trigger(**once).start().awaitTermination()
    if args.flush:
        steps.flush()
    spark.stop()


if __name__ == "__main__":
    main()
