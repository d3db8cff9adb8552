"""Runs statements of Flink SQL, those that begin with SET in streaming mode, in a Python of its own that has apache-flink: `flink_sql.py FOLDER`.

`FOLDER/statements.json` names them; the rows go to `FOLDER/flink_<name>.parquet`, the seconds to `FOLDER/flink_seconds.json`.
"""

import json
import sys
import time
from pathlib import Path

from pyflink.table import EnvironmentSettings, TableEnvironment


def main(folder):
    seconds = {}
    for name, script in json.loads((folder / "statements.json").read_text()).items():
        endless = script.startswith("SET ")
        settings = EnvironmentSettings.in_streaming_mode() if endless else EnvironmentSettings.in_batch_mode()
        tables = TableEnvironment.create(settings)
        tables.get_config().set("table.local-time-zone", "UTC")
        tables.get_config().set("parallelism.default", "2")
        *declared, statement = script.split(";\n")
        begun = time.perf_counter()
        for one in declared:
            if one.startswith("SET "):
                key, _, value = one.removeprefix("SET ").partition(" = ")
                tables.get_config().set(key.strip("'"), value.strip("'"))
            else:
                tables.execute_sql(one)
        frame = tables.sql_query(statement).to_pandas()
        seconds[name] = time.perf_counter() - begun
        frame.to_parquet(folder / f"flink_{name}.parquet", index=False)
    (folder / "flink_seconds.json").write_text(json.dumps(seconds))


main(Path(sys.argv[1]))
