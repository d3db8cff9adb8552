"""What a fg.json has beyond pyfg's: the keys of RTP's generator, the older one, which EasyRec's documents show."""

from __future__ import annotations

from typing import Any

from easyrec.convert.message import Field, Message, Scalar
from easyrec.convert.outputs import has_ids
from easyrec.convert.report import Report

_SIDES = ("user", "item", "context", "feature", "const")
_MULTIVALUED = ("id", "raw", "combo", "combine", "lookup", "overlap", "kv_dot_product", "bool_mask")
"""Types that split texts at their `separator`."""

KEYS = frozenset(["embedding_dim", "embedding_dimension", "shared_name", "group", "is_multi", "use_embedding_variable"])
"""Keys of a feature that RTP has and pyfg has not."""

_GENERATED = "said what EasyRec's config was generated with"
_TOP_DROPPED = {
    "separator": "stood between the features of a generated row",
    **dict.fromkeys(("model_dir", "model_type", "model_path", "edit_config_json", "num_steps"), _GENERATED),
}


def modernize(root: Message) -> None:
    """Give features the names that pyfg has for the same."""
    for feature in root.messages("features"):
        for message in (feature, *feature.messages("features")):
            _modernize(message)


def _modernize(message: Message) -> None:
    fields: list[Field] = []
    for item in message.fields:
        if item.name == "value_dimension" and not message.has("value_dim"):
            item.name = "value_dim"
        if item.name == "bucketize_boundaries" and not message.has("boundaries"):
            words = item.value.text.split(",") if isinstance(item.value, Scalar) else []
            values = [Scalar("number", word.strip(), item.line) for word in words if word.strip()]
            fields += [Field("boundaries", value, item.line, listed=True) for value in values]
        else:
            fields.append(item)
    message.fields = fields


def whole(root: Message, data: dict[str, Any], report: Report) -> None:
    """Read what is said of all features."""
    labels = root.texts("label_fields")
    data |= {"labels": labels} if labels else {}
    report.drop(root, _TOP_DROPPED)
    if root.text("kv_separator", ":") != ":":
        report.lose(root, {"kv_separator": "a word and its weight stand with ':' between them"})


def extend(message: Message, root: Message, found: dict[str, Any], report: Report) -> None:
    """Add what RTP says of a feature: separator, embedding, pooling."""
    separator = root.text("multi_val_sep")
    if separator not in ("", "\x1d") and found["type"] in _MULTIVALUED and "separator" not in found:
        found["separator"] = separator
    ids = has_ids(found)
    dim = message.integer("embedding_dimension") or message.integer("embedding_dim")
    if dim or (ids and root.integer("embedding_dim")):
        found["embedding_dim"] = dim or root.integer("embedding_dim")
    if message.has("shared_name") and ids:
        found["embedding_name"] = message.text("shared_name")
    _pool(message, found, ids, report)
    if message.flag("use_embedding_variable"):
        why = "a table that grows with its ids has no counterpart: ids are hashed"
        report.add("changed", message, "use_embedding_variable", why)
    if found["type"] == "id":
        report.lose(message, {"normalizer": "numbers become ids as they are"})
    report.drop(message, {"group": "groups belong to the model", "is_multi": "all values of a column are kept"})


def _pool(message: Message, found: dict[str, Any], ids: bool, report: Report) -> None:
    """`combiner`, which also says how the embeddings of several values are joined."""
    if not message.has("combiner") or "combiner" in found or found["type"] in ("lookup", "combine"):
        return
    combiner = message.text("combiner")
    if not ids:
        report.add("dropped", message, "combiner", "joins embeddings, and a number has none")
    elif combiner == "mean":
        found["pooling"] = "mean"
    elif combiner != "sum":
        report.add("changed", message, "combiner", f"'{combiner}' is not there: embeddings are added up")


def crossed(message: Message, root: Message, report: Report) -> list[dict[str, Any]]:
    """The cross that `extra_combo_info` asks for beside its feature."""
    info = message.message("extra_combo_info")
    if info is None:
        return []
    sources = {m.text("feature_name"): m.text("expression") for m in root.messages("features")}
    names = info.texts("feature_names")
    expressions = [message.text("expression"), *(sources.get(name, "") for name in names)]
    found: dict[str, Any] = {"type": "combo", "name": info.text("final_feature_name")}
    if "" in expressions or len(expressions) < 2:
        unknown = [name for name in names if not sources.get(name)]
        why = f"names no column to cross with: {', '.join(unknown)}" if unknown else "names nothing to cross with"
        report.add("lost", message, "extra_combo_info", why)
        return []
    found |= {"expression": expressions, "hash_bucket_size": info.integer("hash_bucket_size")}
    found |= {"separator": root.text("multi_val_sep")} if root.text("multi_val_sep") not in ("", "\x1d") else {}
    found |= {"embedding_dim": info.integer("embedding_dim")} if info.integer("embedding_dim") else {}
    _pool(info, found, True, report)
    return [found]


def unpack(message: Message, found: dict[str, Any], children: list[dict[str, Any]], report: Report) -> None:
    """A sequence whose steps were packed into one column, or looked up in a table.

    Args:
        message: What the source says.
        found: The sequence's own keys, changed in place.
        children: Its features, changed in place.
        report: Where to say what is not carried.
    """
    table = message.text("sequence_table", "item")
    report.drop(message, {"feature_name": "the sequence has a name"})
    if message.flag("is_item_seq"):
        found["side"] = "item"
    if message.has("sequence_column", "attribute_delim"):
        key = "sequence_column" if message.has("sequence_column") else "attribute_delim"
        why = "a step's attributes were packed into one column; here each child has a column of its own"
        report.add("changed", message, key, why, f"call the columns {found['name']}__<name>")
        message.text("attribute_delim")
    report.lose(message, {"default_value": "each child has a default of its own"})
    for child in children:
        for key, value in child.items():
            texts = value if isinstance(value, list) else [value]
            sides = [t.partition(":")[0] if isinstance(t, str) and ":" in t else "" for t in texts]
            if key in ("expression", "variables", "map", "key", "query", "title", "document") and table in sides:
                moved = [f"item:{t.partition(':')[2]}" if s == table else t for t, s in zip(texts, sides, strict=True)]
                child[key] = moved if isinstance(value, list) else moved[0]
    if table not in _SIDES:
        why = f"'{table}' is no side here: its columns are those of the sequence, item:<name>"
        report.add("changed", message, "sequence_table", why)
    else:
        report.drop(message, {"sequence_table": "the columns are the sequence's own"})
