"""The data of an EasyRec config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from easyrec.convert.draft import Draft
from easyrec.convert.message import Message
from easyrec.convert.ranges import expand
from easyrec.convert.report import Report
from easyrec.convert.tzrec_data import PLACEHOLDER, labels

TYPES = {
    "INT32": "int32",
    "INT64": "int64",
    "STRING": "string",
    "FLOAT": "float32",
    "DOUBLE": "float64",
    "BOOL": "bool",
}
CSV = ("CSVInput", "CSVInputV2", "CSVInputEx")
PARQUET = ("ParquetInput", "ParquetInputV2", "ParquetInputV3", "HiveParquetInput")

_STREAMS = ("kafka", "datahub", "hive")
_DROPPED = {
    "prefetch_size": "data.prefetch has its own default",
    "num_parallel_calls": "rows are read by one background thread; data.threads adds to it",
    "shard": "has no meaning here",
    "file_shard": "has no meaning here",
    "selected_cols": "columns that nothing names are not read",
    "selected_col_types": "belongs to MaxCompute",
    "pai_worker_queue": "belongs to MaxCompute",
    "pai_worker_slice_num": "belongs to MaxCompute",
    "chief_redundant": "has no meaning here",
    "auto_expand_input_fields": "field[1-3] always stands for three",
    "drop_remainder": "the last batch of an epoch is trained on",
    "data_compression_type": "the files' names tell",
    "feature_fields": "belongs to inputs that are not there",
    "rtp_separator": "belongs to inputs that are not there",
    "n_data_batch_tfrecord": "belongs to inputs that are not there",
}
_LOST = {
    "label_sep": "a label is one number",
    "label_dim": "a label is one number",
    "extra_label_func": "labels are columns of the data",
}


@dataclass(frozen=True)
class Column:
    """A column of the source.

    Attributes:
        type: EasyRec's name of its type, "" where nothing says it.
        default: What EasyRec reads in the place of an empty value.
    """

    type: str = ""
    default: str = ""


def columns(config: Message, report: Report) -> dict[str, Column]:
    """The columns that the config lists, by name."""
    found: dict[str, Column] = {}
    lost = {
        "user_define_fn": "columns are read as they are",
        "user_define_fn_path": "columns are read as they are",
        "user_define_fn_res_type": "columns are read as they are",
        "ignore_val": "only an empty value is missing",
    }
    for field in config.messages("input_fields"):
        kind = field.text("input_type", "STRING")
        default = field.text("default_val", "" if kind == "STRING" else "0")
        found |= dict.fromkeys(expand([field.text("input_name")]), Column(kind, default))
        report.drop(field, {"input_dim": "features say it", "input_shape": "features say it"})
        report.lose(field, lost)
    return found


def convert(root: Message, draft: Draft, report: Report) -> dict[str, Column]:
    """Fill in `data`, and the epochs of `train`.

    Returns:
        The columns of the data, as far as they are listed.
    """
    config = root.message("data_config") or Message(root.line, path="data_config", file=root.file)
    data, kind = draft.data, config.text("input_type", "CSVInput")
    known = columns(config, report)
    for part, old in (("train", "train_input"), ("valid", "eval_input")):
        key = f"parquet_{old}" if root.has(f"parquet_{old}") else f"{old}_path"
        source = _source(root, key, config, kind, part, known, report)
        data |= {part: source} if source else {}
    for name in root.names():
        if name.startswith(_STREAMS) and name.endswith("_input"):
            report.add("lost", root, name, "streams are not read: name files under data.train")
    data["labels"] = labels(config, report)
    if config.has("sample_weight"):
        data["sample_weight"] = config.text("sample_weight")
    data["batch_size"] = config.integer("batch_size", 32)
    if config.has("eval_batch_size"):
        data["eval_batch_size"] = config.integer("eval_batch_size")
    rows = config.integer("shuffle_buffer_size", 32) * data["batch_size"]
    data["shuffle"] = {"buffer_rows": max(rows, 1)} if config.flag("shuffle", default=True) else False
    if config.flag("ignore_error"):
        data["bad_rows"] = "skip"
    if config.integer("num_epochs"):
        draft.train["epochs"] = config.integer("num_epochs")
    report.drop(config, _DROPPED)
    report.lose(config, _LOST)
    return known


def _source(
    root: Message, key: str, config: Message, kind: str, part: str, known: dict[str, Column], report: Report
) -> dict[str, Any]:
    paths = [path.strip() for path in root.text(key).split(",") if path.strip()]
    path = paths[0] if len(paths) == 1 else paths
    config.values("separator")
    header = config.flag("with_header")
    if paths and kind in PARQUET:
        return {"type": "parquet", "path": path}
    if paths and kind in CSV:
        source: dict[str, Any] = {"type": "csv", "path": path}
        if (separator := config.text("separator", ",")) != ",":
            source["separator"] = separator
        if kind != "CSVInputEx":
            source["quote"] = None  # quotes are characters like others there
        source["null_values"] = [""]
        if known and not header:
            source["columns"] = list(known)
        types = {name: TYPES[column.type] for name, column in known.items() if column.type in TYPES}
        return source | ({"types": types} if types else {})
    if not paths and part != "train":
        return {}
    placeholder = PLACEHOLDER.format(part=part)
    if paths:
        why, todo = (
            f"{kind} is not converted; {placeholder} is in its place",
            "name the table here, as 'type: maxcompute'" if "Odps" in kind else "name the data here",
        )
        report.add("lost", root, key, why, todo, ("data", part))
    else:
        why = f"names no data: {placeholder} is a guess"
        report.add("check", root, key, why, "name the data", ("data", part))
    return {"type": "parquet", "path": placeholder}
