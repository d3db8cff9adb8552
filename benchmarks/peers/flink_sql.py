"""Runs statements of Flink SQL, in a Python of its own that has apache-flink: `flink_sql.py FOLDER [batch | streaming]`.

`FOLDER/statements.json` names them; the rows go to `FOLDER/flink_<name>.parquet`, the seconds to `FOLDER/flink_seconds.json`.
A continuous query gives changes, which are applied one after another: what is left in the end are its rows. Only samples
can be asked that way: a view's sessions need all events in the order of their times.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
from pyflink.common import RowKind
from pyflink.table import EnvironmentSettings, TableEnvironment


def rows_of(tables, statement, streaming):
    if not streaming:
        return tables.sql_query(statement).to_pandas()
    tables.create_temporary_view("made", tables.sql_query(statement))
    names = [name for name in tables.from_path("made").get_schema().get_field_names() if not name.endswith("_time")]
    chosen = ", ".join(f"`{name}`" for name in names)  # times do not come through its bridge to Python
    left, result = Counter(), tables.execute_sql(f"SELECT {chosen} FROM made")  # noqa: S608 (names of ours)
    with result.collect() as changes:
        for change in changes:
            gone = change.get_row_kind() in (RowKind.UPDATE_BEFORE, RowKind.DELETE)
            left[tuple(change)] += -1 if gone else 1
    return pd.DataFrame([row for row, times in left.items() for _ in range(times)], columns=names)


def main(folder, mode="batch"):
    seconds, streaming = {}, mode == "streaming"
    settings = EnvironmentSettings.in_streaming_mode() if streaming else EnvironmentSettings.in_batch_mode()
    for name, script in json.loads((folder / "statements.json").read_text()).items():
        if streaming and name != "samples":
            continue
        tables = TableEnvironment.create(settings)
        tables.get_config().set("table.local-time-zone", "UTC")
        tables.get_config().set("parallelism.default", "2")
        *declared, statement = script.split(";\n")
        begun = time.perf_counter()
        for one in declared:
            tables.execute_sql(one)
        frame = rows_of(tables, statement, streaming)
        seconds[name] = time.perf_counter() - begun
        frame.to_parquet(folder / f"flink_{name}.parquet", index=False)
    (folder / "flink_seconds.json").write_text(json.dumps(seconds))


main(Path(sys.argv[1]), *sys.argv[2:])
