"""pyfg's fg.json, which holds features alone, into an experiment with places for the rest."""

from __future__ import annotations

from typing import Any

from easyrec.convert import rtp
from easyrec.convert.custom import built_in
from easyrec.convert.draft import Draft
from easyrec.convert.groups import finish, pooled, stand_in
from easyrec.convert.message import Field, Message
from easyrec.convert.outputs import keep_tables_apart, outputs
from easyrec.convert.pyfg_features import OWN, Place, Reader
from easyrec.convert.report import Report
from easyrec.convert.tzrec import HASH
from easyrec.convert.tzrec_data import PLACEHOLDER

NAMES = {
    "need_discrete": "needDiscrete",
    "need_key": "needKey",
    "nested_map": "user",
    "pkey": "category",
    "skey": "item",
    "show_pkey": "show_category",
    "show_skey": "show_item",
}
"""What fg.json calls keys of TorchEasyRec's configs."""

OPTIONS = {
    2: "TEXT_LOWER2UPPER",
    4: "TEXT_UPPER2LOWER",
    8: "TEXT_SBC2DBC",
    16: "TEXT_CHT2CHS",
    32: "TEXT_FILTER",
    512: "TEXT_SPLITCHRS",
}
"""Bits of a text normalizer's `parameter`."""

_DROPPED = {
    "matchType": "ALL among the keys says it",
    "output_type": "ids come out",
    "output_delim": "ids come out",
    "is_gbk_input": "texts are UTF-8",
    "is_gbk_output": "texts are UTF-8",
}
_COMMON = frozenset(
    [
        "feature_type",
        "feature_name",
        "expression",
        "default_value",
        "separator",
        "value_dim",
        "value_type",
        "need_prefix",
        "stub_type",
        "normalizer",
        "boundaries",
        "hash_bucket_size",
        "num_buckets",
        "vocab_list",
        "vocab_dict",
        "vocab_file",
        "default_bucketize_value",
        "sequence_length",
        "sequence_delim",
        "sequence_fields",
        "operator_name",
        "operator_lib_file",
        "is_op_thread_safe",
        *rtp.KEYS,
    ]
)
"""Keys of a custom feature that are not its operator's."""


def convert(root: Message, report: Report) -> Draft:
    """The experiment around the features of a fg.json."""
    draft = Draft(hash="murmur64a")
    draft.data = {"train": {"type": "parquet", "path": PLACEHOLDER.format(part="train")}, "labels": ["label"]}
    reserved = [name for name in dict.fromkeys(root.texts("reserves")) if name != "label"]
    draft.data |= {"reserved": reserved} if reserved else {}
    rtp.modernize(root)
    rtp.whole(root, draft.data, report)
    reader = Reader(report, NAMES, embedded=False)
    for message in root.messages("features"):
        report.target = ("features", len(draft.features))
        if message.has("sequence_name"):
            draft.features.append(_sequence(message, reader, root))
        else:
            found = _feature(message, reader, root)
            draft.features += [found] if found is not None else []
            draft.features += rtp.crossed(message, root, report)
    report.target = None
    keep_tables_apart(draft.features, "")
    known = outputs(draft.features)
    group = pooled(known, known)
    draft.model = finish({"type": stand_in(group, known)}, group, None, known)
    why = "holds features alone: data, labels and the model are places to fill in"
    report.add("check", root, "", why, "name your data, and choose a model", ("data",))
    report.add("check", root, "", HASH, "set hash: farmhash if so", ("hash",))
    return draft


def _sequence(message: Message, reader: Reader, root: Message) -> dict[str, Any]:
    sequence, children = reader.sequence(message), list[dict[str, Any]]()
    outer = reader.report.target or ()
    for child in message.messages("features"):
        reader.report.target = (*outer, "features", len(children))
        found = _feature(child, reader, root, "child")
        children += [found] if found is not None else []
    reader.report.target = outer
    rtp.unpack(message, sequence, children, reader.report)
    return {**sequence, "features": children}


def _feature(message: Message, reader: Reader, root: Message, place: Place = "plain") -> dict[str, Any] | None:
    kind = message.text("feature_type")
    name = kind.removeprefix("sequence_").removesuffix("_feature")
    if name not in OWN:
        reader.report.add("lost", message, "feature_type", f"features of type '{kind}' are not there")
        message.settle()
        return None
    if kind.startswith("sequence_") and place == "plain":
        place = "simple"
    if name == "custom":
        _gather_params(message)
    found = reader.feature(name, message, place)
    if place == "simple" and "sequence_length" not in found:
        reader.report.add("check", message, "", "a sequence needs a length here: 50 is a guess")
        found["sequence_length"] = 50
    if name == "custom":
        found |= {**built_in(message, found, reader.report), **_params(message)}
    if name == "text_normalizer":
        found |= _normalizer(message)
    rtp.extend(message, root, found, reader.report)
    if found.keys() & {"vocab_list", "vocab_dict"} and "default_bucketize_value" not in found:
        why = "nothing says the id of words outside of the vocabulary: 0 is a guess"
        reader.report.add("check", message, "", why, "set default_bucketize_value")
        found["default_bucketize_value"] = 0
    for key, why in (
        ("need_prefix", "values carried the feature's name in front"),
        ("needWeighting", "values have no weights: use a weighted id"),
    ):
        if message.flag(key):
            reader.report.add("lost", message, key, why)
    reader.report.drop(message, _DROPPED)
    return found


def _gather_params(message: Message) -> None:
    """Put the keys that are the operator's own into a message of their own."""
    own = [f for f in message.fields if f.name not in _COMMON]
    if own:
        params = Message(own[0].line, own, message.below("params"), message.file)
        message.fields = [f for f in message.fields if f.name in _COMMON]
        message.fields.append(Field("params", params, own[0].line))


def _params(message: Message) -> dict[str, Any]:
    params = message.message("params")
    return {"operator_params": params.plain()} if params is not None else {}


def _normalizer(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if message.has("parameter"):
        bits = message.integer("parameter")
        found["norm_options"] = [option for bit, option in OPTIONS.items() if bits & bit]
    if message.flag("remove_space"):
        found["norm_options"] = [*found.get("norm_options", []), "TEXT_REMOVE_SPACE"]
    if message.has("max_length"):
        found["max_length"] = message.integer("max_length")
    if message.has("stop_char_file"):
        found["stop_char_file"] = message.text("stop_char_file")
    return found
