"""A pipeline config of TorchEasyRec (tzrec) into an experiment."""

from __future__ import annotations

from typing import Any

from easyrec.convert import tzrec_data, tzrec_model, tzrec_train
from easyrec.convert.custom import built_in
from easyrec.convert.draft import Draft
from easyrec.convert.message import Message
from easyrec.convert.outputs import keep_tables_apart
from easyrec.convert.pyfg_features import OWN, Place, Reader
from easyrec.convert.report import Report

KINDS = {f"{kind}_feature": kind for kind in OWN} | {"kv_dot_product": "kv_dot_product"}
"""Type of each feature message, without the `sequence_` of simple sequences."""

HASH = "ids are hashed by std::hash there, or by FarmHash where USE_FARM_HASH_TO_BUCKETIZE=true in the environment"
"""Which hash their generator uses; no config says it."""

_TOP_DROPPED = {
    "model_dir": "a run lies in runs/<name>, or where --run-dir says",
    "eval_config": "evaluation follows train.evaluate_every and eval.metrics",
    "export_config": "easyrec export writes the bundle",
    "item_input_path": "belongs to the export of item towers",
}


def convert(root: Message, report: Report) -> Draft:
    """The experiment of a pipeline config."""
    draft = Draft(hash="murmur64a")
    report.drop(root, _TOP_DROPPED)
    multival = tzrec_data.convert(root, draft, report)
    draft.features = features(root, report, multival)
    tzrec_model.convert(root, draft, report)
    tzrec_train.convert(root, draft, report)
    report.add("check", root, "", HASH, "set hash: farmhash if so", ("hash",))
    return draft


def features(root: Message, report: Report, multival: str) -> list[dict[str, Any]]:
    """All features, in order."""
    reader = Reader(report, multival=multival)
    found: list[dict[str, Any]] = []
    for config in root.messages("feature_configs"):
        report.target = ("features", len(found))
        for name in config.names():
            if name == "sequence_feature":
                found += [_sequence(message, reader) for message in config.messages(name)]
            elif name in _NAMES:
                found += [_feature(name, message, reader) for message in config.messages(name)]
    report.target = None
    keep_tables_apart(found, "_emb")
    _say_where_sequences_are_cut(root, found, report)
    return found


_NAMES = (*KINDS, *(f"sequence_{name}" for name in KINDS))


def _feature(name: str, message: Message, reader: Reader, place: Place = "plain") -> dict[str, Any]:
    simple = place == "plain" and name not in KINDS
    kind = KINDS[name.removeprefix("sequence_") if simple else name]
    found = reader.feature(kind, message, "simple" if simple else place)
    if simple and "sequence_length" not in found and "tokens_as_sequence" not in found:
        why = "a sequence needs a length here: 50 is a guess"
        reader.report.add("check", message, "", why, "say how many elements to keep")
        found["sequence_length"] = 50
    if kind == "custom":
        found |= built_in(message, found, reader.report)
    return found


def _sequence(message: Message, reader: Reader) -> dict[str, Any]:
    sequence, children = reader.sequence(message), list[dict[str, Any]]()
    outer = reader.report.target or ()
    for config in message.messages("features"):
        reader.report.target = (*outer, "features", len(children))
        for name in config.names():
            if name in KINDS:
                children += [_feature(name, child, reader, "child") for child in config.messages(name)]
    reader.report.target = outer
    return {**sequence, "features": children}


def _say_where_sequences_are_cut(root: Message, features: list[dict[str, Any]], report: Report) -> None:
    if any("sequence_length" in f for f in features):
        why = "their documents do not say which end of a too long sequence is cut; here its newest elements stay"
        todo = "set order: newest_first where the data is sorted that way, truncate: oldest to keep the others"
        report.add("check", root, "", why, todo, ("features",))
