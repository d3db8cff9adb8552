"""Runs statements of Flink SQL in a Python that has apache-flink: `flink_run.py FOLDER` asks what each `FOLDER/<name>.sql` ends with.

The rows go to `FOLDER/<name>.parquet`. Statements begin with SET where they run for ever, else they are for batch mode.
"""

import sys
from pathlib import Path

from pyflink.table import EnvironmentSettings, TableEnvironment

folder = Path(sys.argv[1])
for place in sorted(folder.glob("*.sql")):
    *declared, statement = place.read_text().split(";\n")
    endless = any(one.startswith("SET ") for one in declared)
    settings = EnvironmentSettings.in_streaming_mode() if endless else EnvironmentSettings.in_batch_mode()
    tables = TableEnvironment.create(settings)
    tables.get_config().set("table.local-time-zone", "UTC")
    tables.get_config().set("parallelism.default", "1")
    for one in declared:
        if one.startswith("SET "):
            key, _, value = one.removeprefix("SET ").partition(" = ")
            tables.get_config().set(key.strip("'"), value.strip("'"))
        else:
            tables.execute_sql(one)
    tables.sql_query(statement).to_pandas().to_parquet(place.with_suffix(".parquet"), index=False)
