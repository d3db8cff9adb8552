"""The data of a TorchEasyRec config."""

from __future__ import annotations

import re
from typing import Any

from easyrec.convert.draft import Draft
from easyrec.convert.message import Message
from easyrec.convert.report import Report

PLACEHOLDER = "data/{part}/*.parquet"
"""Path of data that lies where we cannot read."""

TYPES = {
    "INT32": "int32",
    "INT64": "int64",
    "INT": "int32",
    "BIGINT": "int64",
    "STRING": "string",
    "FLOAT": "float32",
    "DOUBLE": "float64",
    "BOOL": "bool",
}
"""Types of csv columns."""

_DROPPED = {
    "num_workers": "rows are read by one background thread; data.threads adds to it",
    "pin_memory": "has no meaning here",
    "drop_remainder": "the last batch of an epoch is trained on",
    "min_batch_size": "the last batch of an epoch is trained on",
    "in_order": "batches are the same at every run",
    "force_base_data_group": "has no meaning here",
    "is_orderby_partition": "belongs to MaxCompute",
    "odps_data_quota_name": "belongs to MaxCompute",
    "odps_data_compression": "belongs to MaxCompute",
}
_LOST = {
    "sample_mask_prob": "inputs are not masked while training",
    "negative_sample_mask_prob": "inputs are not masked while training",
    "sample_cost_field": "batches have a fixed number of rows",
    "batch_cost_size": "batches have a fixed number of rows",
    "tdm_sampler": "rows are trained as they are; no negatives are drawn",
}


def convert(root: Message, draft: Draft, report: Report) -> str:
    """Fill in `data`.

    Returns:
        `fg_encoded_multival_sep` of every feature, "" for the default.
    """
    config = root.message("data_config") or Message(root.line, path="data_config", file=root.file)
    data = draft.data
    kind = config.text("dataset_type", "OdpsDataset")
    for part, key in (("train", "train_input_path"), ("valid", "eval_input_path")):
        source = _source(root, key, config, kind, part, report)
        if source:
            data[part] = source
    data["labels"] = labels(config, report)
    weights = config.texts("sample_weight_fields")
    if len(weights) > 1:
        why = f"one weight serves all tasks, here {weights[0]}"
        report.add("changed", config, "sample_weight_fields", why, target=("data", "sample_weight"))
    data |= {"sample_weight": weights[0]} if weights else {}
    data["batch_size"] = config.integer("batch_size", 1024)
    if config.has("eval_batch_size"):
        data["eval_batch_size"] = config.integer("eval_batch_size")
    _shuffle(config, data)
    if config.integer("fg_threads", 1) > 1:
        data["threads"] = config.integer("fg_threads")
    if root.has("data_config"):
        _mode(config, data, report)
    else:
        why = "says whether the columns are raw or encoded; they are taken to be raw"
        report.add("check", root, "data_config", why, "set data.fg: encoded if they are", ("data",))
    report.drop(config, _DROPPED)
    report.lose(config, _LOST)
    config.values("input_fields")
    config.values("input_fields_str")
    for field in config.messages("input_fields"):
        field.settle()
    multival = config.text("fg_encoded_multival_sep", "\x03")
    return "" if multival == "\x03" else multival


def labels(config: Message, report: Report) -> list[str]:
    """The labels; a placeholder where the source names none."""
    found = list(dict.fromkeys(config.texts("label_fields")))
    if not found:
        why = "the source names no label: 'label' is a guess"
        report.add("check", config, "", why, "name the columns to predict", ("data", "labels"))
    return found or ["label"]


def _shuffle(config: Message, data: dict[str, Any]) -> None:
    rows = config.integer("shuffle_buffer_size", 32) * data["batch_size"]
    data["shuffle"] = {"buffer_rows": max(rows, 1)} if config.flag("shuffle") else False


def _mode(config: Message, data: dict[str, Any], report: Report) -> None:
    """`fg`: what the columns hold."""
    mode = config.text("fg_mode", "FG_NONE" if config.flag("fg_encoded", default=True) else "FG_DAG")
    config.values("fg_encoded")
    if mode in ("FG_NONE", "1"):
        data["fg"] = "encoded"
    elif mode in ("FG_BUCKETIZE", "4"):
        why = "columns that went through the generator but for its discretizers have no counterpart"
        todo = "read the raw columns, or write each feature as if its column were its only input"
        report.add("lost", config, "fg_mode", why, todo, ("data",))


def _source(root: Message, key: str, config: Message, kind: str, part: str, report: Report) -> dict[str, Any]:
    paths = [path.strip() for path in root.text(key).split(",") if path.strip()]
    target = ("data", part)
    if kind in ("ParquetDataset", "2"):
        if paths:
            return {"type": "parquet", "path": paths[0] if len(paths) == 1 else paths}
    elif kind in ("CsvDataset", "3"):
        if paths:
            return _csv(config, paths)
    elif paths:
        why = f"{kind} is not converted; {PLACEHOLDER.format(part=part)} is in its place"
        todo = "name the table here, as 'type: maxcompute'" if "Odps" in kind else "name the data here"
        report.add("lost", root, key, why, todo, target)
        return {"type": "parquet", "path": PLACEHOLDER.format(part=part)}
    if part == "train":
        why = f"names no data: {PLACEHOLDER.format(part=part)} is a guess"
        report.add("check", root, key, why, "name the data", target)
        return {"type": "parquet", "path": PLACEHOLDER.format(part=part)}
    return {}


def _csv(config: Message, paths: list[str]) -> dict[str, Any]:
    source: dict[str, Any] = {"type": "csv", "path": paths[0] if len(paths) == 1 else paths}
    if (separator := config.text("delimiter", ",")) != ",":
        source["separator"] = separator
    fields = [(f.text("input_name"), f.text("input_type")) for f in config.messages("input_fields")]
    for entry in re.split(r"[;\n]", config.text("input_fields_str")):
        name, _, kind = entry.strip().partition(":")
        fields += [(name, kind.strip().upper())] if name else []
    if not config.flag("with_header") and fields:
        source["columns"] = [name for name, _ in fields]
    types = {name: TYPES[kind] for name, kind in fields if kind in TYPES}
    return source | ({"types": types} if types else {})
