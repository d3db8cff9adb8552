"""A pipeline config of EasyRec (TensorFlow) into an experiment."""

from __future__ import annotations

from typing import Any

from easyrec.convert import easyrec_data, easyrec_features, easyrec_model, easyrec_train
from easyrec.convert.draft import Draft
from easyrec.convert.message import Message
from easyrec.convert.outputs import keep_tables_apart
from easyrec.convert.ranges import expand
from easyrec.convert.report import Report

_DROPPED = {
    "model_dir": "a run lies in runs/<name>, or where --run-dir says",
    "export_config": "easyrec export writes the bundle",
}


def convert(root: Message, report: Report) -> Draft:
    """The experiment of a pipeline config."""
    draft = Draft(hash="farmhash")
    report.drop(root, _DROPPED)
    if root.has("fg_json_path"):
        why = "features are read from raw columns here; the file names them"
        report.add("lost", root, "fg_json_path", why, "convert that file too, and take its features")
    columns = easyrec_data.convert(root, draft, report)
    draft.features = _features(root, columns, report)
    easyrec_train.convert(root, draft, report)
    easyrec_model.convert(root, draft, report)
    text = "ids are hashed by TensorFlow's FarmHash there"
    report.add("check", root, "", text, "leave it to compare with the source; murmur64a is our default", ("hash",))
    return draft


def _features(root: Message, columns: dict[str, easyrec_data.Column], report: Report) -> list[dict[str, Any]]:
    listed = easyrec_features.configs(root)
    sides = _sides(root, listed)
    reader = easyrec_features.Reader(columns, sides, report)
    found: list[dict[str, Any]] = []
    for message in listed:
        report.target = ("features", len(found))
        found += reader.read(message)
    report.target = None
    keep_tables_apart(found, "")
    why = "EasyRec does not say whose a column is: by its name, group or history it is the user's, else the item's"
    report.add("check", root, "", why, "set the side of each expression", ("features",))
    return found


def _sides(root: Message, listed: list[Message]) -> dict[str, str]:
    """Side of each column: the user's where it is called so, or all that reads it is a history or in user groups."""
    groups: dict[str, set[str]] = {}
    for config in root.messages("model_config"):
        for group in config.messages("feature_groups"):
            for name in expand(group.texts("feature_names")):
                groups.setdefault(name, set()).add(group.text("group_name").lower())
    readers: dict[str, list[bool]] = {}
    for message in listed:
        history = easyrec_features.kind_of(message) == "Sequence"
        for name, inputs in easyrec_features.names_of(message):
            where = groups.get(name, set())
            of_user = history or (bool(where) and all(group.startswith("user") for group in where))
            for column in inputs:
                readers.setdefault(column, []).append(of_user)
    named = {column for column in readers if column.lower().startswith("user")}
    return {column: "user" if column in named or all(found) else "item" for column, found in readers.items()}
