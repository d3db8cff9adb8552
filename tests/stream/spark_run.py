"""Runs statements of Spark SQL: `spark_run.py FOLDER` writes the rows of `FOLDER/<name>.sql` to `FOLDER/<name>.rows`."""

import sys
from pathlib import Path

from pyspark.sql import SparkSession

folder = Path(sys.argv[1])
builder = SparkSession.builder.master("local[1]").config("spark.sql.session.timeZone", "UTC")
builder = builder.config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "1")
builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
spark = builder.config("spark.log.level", "ERROR").getOrCreate()
for statement in sorted(folder.glob("*.sql")):
    spark.sql(statement.read_text()).write.parquet(str(statement.with_suffix(".rows")))
spark.stop()
