"""Matching models of both peers, what they are trained against, and how that is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from easyrec.convert import tasks
from easyrec.convert.draft import Draft
from easyrec.convert.groups import Group, over
from easyrec.convert.message import Message
from easyrec.convert.report import Report, Target
from easyrec.convert.source import Source
from easyrec.convert.tzrec_data import PLACEHOLDER

SAMPLERS = (
    "negative_sampler",
    "negative_sampler_v2",
    "negative_sampler_in_memory",
    "hard_negative_sampler",
    "hard_negative_sampler_v2",
)
"""Theirs that draw from a table of items; of several the first counts."""

SIDES = ("user", "item")
_SIMILARITIES = {"COSINE": "cosine", "0": "cosine", "INNER_PRODUCT": "dot", "1": "dot"}
_RECALLS = {"recall_at_k": ("top_k", 5), "recall_at_topk": ("topk", 5)}

Converter = Callable[[Source, Message, dict[str, Any]], "dict[str, Any] | None"]


def dssm(source: Source, body: Message, single: dict[str, Any]) -> dict[str, Any] | None:
    """`dssm`, and with a layer over each side's fields EasyRec's DSSM_SENet."""
    towers = _towers(body)
    groups = {side: source.group(tower.text("input", side)) for side, tower in towers.items()}
    mlps = {side: source.mlp(tower.message(source.layer) or Message()) for side, tower in towers.items()}
    output = _output(source, body, mlps)
    model: dict[str, Any] = {"type": "dssm", **{f"{side}_tower": mlp for side, mlp in mlps.items()}}
    model["output_dim"] = output
    found = _against(source, body, model | _compared(source, body), groups, single, _id_of(body, towers))
    if found is None:
        return None
    for side, tower in towers.items():
        if (senet := tower.message("senet")) is not None:
            _weigh(source, senet, found["groups"], side)
    return found


def dssm_v2(source: Source, body: Message, single: dict[str, Any]) -> dict[str, Any] | None:
    """`dssm` whose towers share no embeddings."""
    found = dssm(source, body, single)
    return None if found is None else _before_groups(found, {"separate_embeddings": True})


def dat(source: Source, body: Message, single: dict[str, Any]) -> dict[str, Any] | None:
    """`dat`."""
    towers = _towers(body)
    groups = {side: source.group(tower.text("input", side)) for side, tower in towers.items()}
    for side, tower in towers.items():
        groups[f"{side}_augmented"] = source.group(tower.text("augment_input", f"{side}_id_augment"))
    mlps = {side: source.mlp(tower.message(source.layer) or Message()) for side, tower in towers.items()}
    output = _output(source, body, mlps)
    model = {"type": "dat", **_one(source, body, mlps), "output_dim": output}
    for ours, theirs in (("mimic_user", "amm_u_weight"), ("mimic_item", "amm_i_weight")):
        model |= {ours: float(body.number(theirs))} if body.has(theirs) else {}
    return _against(source, body, model | _compared(source, body), groups, single, _id_of(body, towers))


def mind(source: Source, body: Message, single: dict[str, Any]) -> dict[str, Any] | None:
    """`mind`, over the first sequence of the history."""
    user, item = (body.message(f"{side}_tower") or Message() for side in SIDES)  # they are TorchEasyRec's
    history = source.group(user.text("history_input", "hist"))
    known = source.group(user.text("input", "user"))
    capsules = (user.message("capsule_config") or body.message("capsule_config")) or Message()
    if not history.sequences:
        why = "needs a group of the user's history, and there is none whose features were carried"
        source.report.add("lost", body, "", why)
        return None
    first, *others = history.sequences
    encoder = {"type": "mind", "interests": capsules.integer("max_k", 5), "turns": capsules.integer("num_iters", 3)}
    entry = {"sequence": first["sequence"], "encoder": encoder}
    if newest := capsules.integer("max_seq_len"):
        entry["newest"] = newest
    if others:
        listed = ", ".join(other["sequence"] for other in others)
        source.report.add("changed", body, "", f"interests are those of '{first['sequence']}'; averaged: {listed}")
    groups = {"user": Group([], [entry]).add(Group(history.features, others)).add(known)}
    groups["item"] = source.group(item.text("input", "item"))
    mlp = user.message("concat_mlp") or body.message("concat_dnn")
    mlps = {"user": source.mlp(mlp or Message())}
    output = _output(source, body, mlps)
    model = {"type": "mind", **_one(source, body, mlps), "output_dim": output}
    for message, names in (
        (user, ("user_mlp", "hist_seq_mlp")),
        (body, ("user_dnn", "pre_capsule_dnn")),
        (item, ("mlp",)),
        (body, ("item_dnn",)),
    ):
        source.report.lose(message, dict.fromkeys(names, "one MLP reads the interests and the user; items have none"))
    routing = "capsules are as wide as a step, and routed from fixed directions"
    keys = ("high_dim", "routing_logits_scale", "routing_logits_stddev", "routing_init_method", "squash_pow")
    given = [key for key in (*keys, "scale_ratio", "const_caps_num") if capsules.values(key)]
    if given:
        source.report.add("changed", capsules, "", f"{routing}; left out: {', '.join(given)}")
    source.report.lose(body, {"simi_pow": "training takes the interest that is the nearest to the item"})
    source.report.lose(body, {"time_id_fea": "steps are not weighted by time", "user_seq_combine": "see the sequences"})
    return _against(source, body, model | _compared(source, body, "COSINE"), groups, single, body.text("item_id"))


def dropoutnet(source: Source, body: Message, single: dict[str, Any]) -> dict[str, Any] | None:
    """`dropoutnet`: what they call preferences is memory."""
    groups = {
        f"{side}_{ours}": source.group(f"{side}_{theirs}")
        for side in SIDES
        for ours, theirs in (("memory", "preference"), ("content", "content"))
    }
    mlps = {side: source.mlp(message or Message()) for side, message in _towers(body).items()}
    output = _output(source, body, mlps)
    model = {"type": "dropoutnet", **_one(source, body, mlps), "output_dim": output}
    model["forget_users"] = float(body.number("user_dropout_rate", 0.0))
    model["forget_items"] = float(body.number("item_dropout_rate", 0.5))
    parts = [f"{side}_{part}" for side in SIDES for part in ("content", "preference")]
    source.report.lose(body, dict.fromkeys(parts, "memory and content enter one MLP together"))
    mining = "negatives are items of the batch: data.sampler"
    source.report.lose(body, {"softmax_loss": mining, "num_negative_mining": mining})
    return _against(source, body, model, groups, single, "")


def metric_learning(source: Source, body: Message, single: dict[str, Any]) -> dict[str, Any] | None:
    """`co_metric_learning_i2i`: a row is an item and the one at hand, whose columns are called `anchor_..`."""
    report, item = source.report, source.group(body.text("input", "item"))
    mlps = {"item": source.mlp(body.message("dnn") or Message())}
    model = {"type": "co_metric_learning_i2i", "output_dim": _output(source, body, mlps)}
    model |= _one(source, body, mlps)
    circle, similar = body.message("circle_loss"), body.message("multi_similarity_loss")
    if similar is not None:
        keys = {"alpha": ("alpha", 2.0), "beta": ("beta", 50.0), "threshold": ("lamb", 1.0), "mining": ("eps", 0.1)}
        numbers = {ours: float(similar.number(theirs, default)) for ours, (theirs, default) in keys.items()}
        model["loss"] = {"type": "multi_similarity", **numbers}
    else:
        message = circle or Message()
        numbers = {"margin": float(message.number("margin", 0.25)), "gamma": float(message.number("gamma", 32.0))}
        model["loss"] = {"type": "circle", **numbers}
    report.lose(body, {"highway": "all features of the item enter one MLP"})
    why = "here a row is a pair: an item, and the one at hand of the same session in columns called anchor_.."
    report.add("changed", body, "session_id", why, "join the items of a session with each other")
    body.values("output_l2_normalized_emb")
    anchors = Group([_anchor(source, name) for name in item.features])
    if item.sequences:
        report.add("lost", body, "input", "one tower reads both items, and sequences of the one at hand are not there")
    groups = {"user": anchors, "item": Group(list(item.features))}
    return _against(source, body, model, groups, single, body.text("sample_id"), {"type": "in_batch", "logq": False})


def _anchor(source: Source, name: str) -> str:
    """The same feature of the item at hand; its name."""
    (feature,) = (feature for feature in source.draft.features if feature["name"] == name)
    read = feature.get("expression")
    columns = [text.partition(":")[2] or text for text in (read if isinstance(read, list) else [str(read)])]
    moved = [f"user:anchor_{column}" for column in columns]
    table = {} if source.known[name].numeric else {"embedding_name": feature.get("embedding_name", name)}
    new = {**feature, "name": f"anchor_{name}", "expression": moved if isinstance(read, list) else moved[0], **table}
    source.draft.features.append(new)
    return str(new["name"])


# ---------------------------------------------------------------------------------------------------- towers


def _towers(body: Message) -> dict[str, Message]:
    return {side: body.message(f"{side}_tower") or Message() for side in SIDES}


def _output(source: Source, body: Message, mlps: Mapping[str, dict[str, Any]]) -> int:
    """Width of the vectors; EasyRec's is the last layer of a tower, which has no activation and is taken off."""
    if source.layer == "mlp":
        return max(body.integer("output_dim"), 1) if body.has("output_dim") else int(_last(mlps))
    width = int(_last(mlps))
    for side, mlp in mlps.items():
        if mlp["hidden"][-1] != width:
            source.report.add("changed", body, f"{side}_tower", f"vectors of both sides have {width} numbers")
        mlp["hidden"] = mlp["hidden"][:-1]
    return width


def _last(mlps: Mapping[str, dict[str, Any]]) -> int:
    return int(next(iter(mlps.values()))["hidden"][-1])


def _one(source: Source, body: Message, mlps: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The keys of the MLP that both sides share."""
    first, *others = mlps.values()
    if any(other != first for other in others):
        source.report.add("changed", body, "", "both towers have the layers of the user's")
    return first if first["hidden"] else {key: value for key, value in first.items() if key != "hidden"}


def _compared(source: Source, body: Message, default: str = "") -> dict[str, Any]:
    """`similarity` and `temperature`."""
    field = "similarity" if source.layer == "mlp" else "simi_func"
    theirs = body.text(field, default or ("INNER_PRODUCT" if source.layer == "mlp" else "COSINE"))
    if theirs not in _SIMILARITIES:
        source.report.add("changed", body, field, f"{theirs} is not there: the inner product is in its place")
    if source.layer == "dnn" and body.flag("scale_simi", default=True):
        why = "the similarity is divided by a constant, and not scaled by what is learned"
        source.report.add("changed", body, "scale_simi" if body.has("scale_simi") else "", why, "choose a temperature")
    found: dict[str, Any] = {"similarity": _SIMILARITIES.get(theirs, "dot")}
    temperature = float(body.number("temperature", 1.0))
    return found | ({"temperature": temperature} if temperature not in (0.0, 1.0) else {})


def _weigh(source: Source, senet: Message, groups: dict[str, Any], side: str) -> None:
    """Put a layer over a side's fields."""
    layer = {"type": "senet", "reduction": max(senet.integer("reduction_ratio", 2), 1), "activation": "relu"}
    if senet.integer("num_squeeze_group", 1) > 1:
        source.report.add("changed", senet, "num_squeeze_group", "fields are weighted by their means alone")
    senet.values("excitation_acitvation")
    plain = groups[side]
    groups[side] = {**(plain if isinstance(plain, dict) else {"features": plain}), "feature_wise": [layer]}


def _before_groups(model: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    groups = {key: value for key, value in model.items() if key in ("groups", "tasks")}
    return {key: value for key, value in model.items() if key not in groups} | keys | groups


# -------------------------------------------------------------------------------------------------- sampling


def _id_of(body: Message, towers: Mapping[str, Message]) -> str:
    """The field that tells items apart, as EasyRec's towers name it."""
    towers["user"].values("id")
    return body.text("item_id") or towers["item"].text("id")


def _against(
    source: Source,
    body: Message,
    model: dict[str, Any],
    groups: Mapping[str, Group],
    single: dict[str, Any],
    field: str,
    sampler: dict[str, Any] | None = None,
) -> dict[str, Any] | None:
    """The model, trained against a catalogue where the source draws items, else by labels.

    Args:
        source: The model of the config.
        body: Its own keys.
        model: Its keys here.
        groups: What it reads.
        single: Its task, where it is trained by labels.
        field: The column or feature that tells items apart, "" where nothing says it.
        sampler: What the source has in place of one that it names.
    """
    empty = [name for name, group in groups.items() if not (group.features or group.sequences)]
    if empty:
        why = f"reads the groups {', '.join(groups)}, but no features were carried of: {', '.join(empty)}"
        source.report.add("lost", body, "", why)
        return None
    drawn = next((m for name in SAMPLERS if (m := source.data.message(name)) is not None), None)
    sampler = _sampler(source, body, drawn) or sampler
    if sampler is None:
        return over({**model, **single}, groups, source.known)
    data, report, path = source.draft.data, source.report, PLACEHOLDER.format(part="items")
    field = drawn.text("item_id_field") if drawn is not None and drawn.has("item_id_field") else field
    data["sampler"], data["items"] = sampler, {"type": "parquet", "path": path}
    data["item_id"] = _key(source, body, [n for name, g in groups.items() if "item" in name for n in g.features], field)
    if drawn is None:
        report.add("check", body, "", f"users are compared with a catalogue: {path} is a guess", *_ITEMS)
    data.pop("labels")
    why = "every row counts as taken, and labels are not read"
    report.add("check", source.data, "label_fields", why, "leave out rows that were not", ("data", "sampler"))
    if "logq" in sampler:
        why = "logits are not corrected by how probable items are to be drawn, as there"
        report.add("check", body, "", why, "leave logq out to correct them", ("data", "sampler"))
    return over(model, groups, source.known)


_ITEMS = ("write one row per item there, with the columns of its features", ("data", "items"))


def _sampler(source: Source, body: Message, drawn: Message | None) -> dict[str, Any] | None:
    """Ours; None where rows are trained by labels."""
    if source.layer == "mlp":
        beside = body.flag("in_batch_negative")
    else:  # EasyRec's softmax is over the batch's items unless it is told otherwise
        config = source.config
        names = [config.text("loss_type"), *(holder.text("loss_type") for holder in config.messages("losses"))]
        ignored = body.flag("ignore_in_batch_neg_sam")
        beside = "SOFTMAX_CROSS_ENTROPY" in names and not ignored
    source.report.lose(body, {"hist_seq_masks": "say by known of the sampler which feature holds what a user took"})
    if drawn is None:
        return {"type": "in_batch", "logq": False} if beside else None
    report, where = source.report, ("data", "sampler")
    table = next((key for key in ("input_path", "item_input_path") if drawn.has(key)), "")
    attributes = ", ".join(drawn.texts("attr_fields")) or "its features"
    why = f"a table of joined attributes is not read; {PLACEHOLDER.format(part='items')} is in its place"
    todo = f"write one row per item there, with columns for {attributes}"
    report.add("lost", drawn, table, why, todo, ("data", "items"))
    why = "all items are equally likely, there by the weights of the table"
    report.add("changed", drawn, "num_sample", why, "popularity draws by how often items are met", where)
    edges = "the table of edges is not read"
    todo = "give the rows a feature with what the user took, and name it as known"
    if drawn.has("pos_edge_input_path"):
        report.add("lost", drawn, "pos_edge_input_path", edges, todo, where)
    number = max(drawn.integer("num_sample", 1), 1)
    found: dict[str, Any] = {"type": "mixed" if beside else "uniform", "negatives": number}
    if drawn.has("hard_neg_edge_input_path", "num_hard_sample"):
        hard = drawn.integer("num_hard_sample", 1)
        plain = f"{{type: {found['type']}, negatives: {number}}}"
        todo = "give the rows a feature with the items that were shown and left: "
        todo += f"{{type: hard, feature: .., negatives: {hard}, beside: {plain}}}"
        report.add("lost", drawn, "hard_neg_edge_input_path", f"{edges}, so that no hard items are drawn", todo, where)
    ranked = {"num_eval_sample": "the whole catalogue is ranked"}
    told = ("attr_delimiter", "field_delimiter", "item_id_delim", "user_input_path", "user_id_field")
    report.drop(drawn, ranked | dict.fromkeys(told, "belongs to tables that are not read"))
    return found | ({"logq": False} if beside else {})


def _key(source: Source, body: Message, names: list[str], field: str) -> str:
    """The feature that tells items apart."""
    columns = tasks.columns(source.draft)
    kinds = {feature["name"]: feature["type"] for feature in source.draft.features}
    ids = [n for n in names if not source.known[n].numeric and kinds.get(n) == "id"] or names
    found = [name for name in ids if field and field in (name, columns.get(name))]
    if found:
        return found[0]
    why = f"the feature that tells items apart is taken to be '{ids[0]}'"
    source.report.add("check", body, "", why, "name another one of ids", ("data", "item_id"))
    return ids[0]


def leave(data: Message, report: Report) -> None:
    """Note samplers of models that compare users with no drawn items."""
    report.lose(data, dict.fromkeys(SAMPLERS, "rows are trained as they are; no negatives are drawn"))


def measure(messages: Iterable[Message], draft: Draft, report: Report) -> None:
    """Metrics of what is found in a catalogue."""
    found: list[dict[str, Any]] = []
    listed = [(message, name) for message in messages for name in message.names()]
    place: Target = ("eval",) if any(name in _RECALLS for _, name in listed) else ("data", "sampler")
    for message, name in listed:
        inner = message.message(name) if name in _RECALLS else None
        if inner is None:
            report.add("lost", message, name, "is of labels, where the catalogue is ranked", target=place)
            continue
        field, default = _RECALLS[name]
        metric = {"type": "recall", "k": inner.integer(field, default)}
        found += [] if metric in found else [metric]
        why = "all items are ranked, there the drawn ones"
        report.add("changed", message, name, why, target=place)
    if found:
        draft.eval["retrieval"] = {"metrics": found}


OF_TORCHEASYREC: dict[str, Converter] = {"dat": dat, "dssm": dssm, "dssm_v2": dssm_v2, "mind": mind}
OF_EASYREC: dict[str, Converter] = {
    "CoMetricLearningI2I": metric_learning,
    "DAT": dat,
    "DSSM": dssm,
    "DSSM_SENet": dssm,
    "DropoutNet": dropoutnet,
    "MIND": mind,
}
