"""Models of several tasks, of both peers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from easyrec.convert import layers
from easyrec.convert.draft import Draft
from easyrec.convert.groups import Group, over
from easyrec.convert.message import Message
from easyrec.convert.report import Report
from easyrec.convert.source import Source
from easyrec.convert.towers import Keys, Towers

NO_BOTTOM = {"type": "shared_bottom", "bottom": []}


def shared_bottom(source: Source, body: Message) -> Keys:
    """SimpleMultiTask: a tower per task over the features."""
    return _finish(source, body, NO_BOTTOM, *_tasks(source, body))


def mmoe(source: Source, body: Message) -> Keys:
    """MMoE, with experts by their number, or one by one as EasyRec once had them."""
    towers, listed = _towers(source), body.messages("experts")
    for expert in listed:
        expert.values("expert_name")
    blocks = [towers.block(expert.message("dnn")) for expert in listed]
    if any(block != blocks[0] for block in blocks):
        source.report.add("changed", body, "experts", "all experts have the layers of the first")
    keys = {"experts": len(blocks), "expert": blocks[0]} if blocks else towers.experts(body, _experts(source))
    return _finish(source, body, {"type": "mmoe", **keys}, *_tasks(source, body))


def ple(source: Source, body: Message) -> Keys:
    """PLE."""
    return _finish(source, body, {"type": "ple", **_towers(source).levels(body)}, *_tasks(source, body))


def dbmtl(source: Source, body: Message) -> Keys:
    """DBMTL, and DC2VR without its interventions."""
    towers = _towers(source)
    found, messages = _tasks(source, body)
    if any(message.has("low_rank_dim") for message in messages):
        why = "dbmtl is in its place: the same layers, without interventions"
        source.report.add("changed", body, "", why)
    bottom = towers.block(body.message(source.field("bottom")))
    keys = {"type": "dbmtl", "bottom": bottom, **towers.experts(body, _experts(source))}
    keys |= towers.relations([task["name"] for task in found], messages)
    why = "has no counterpart: features enter the layers as they are"
    unlike = ("mask_net", "bottom_cmbf", "bottom_uniter", "use_feature_bn", "use_feature_ln", "sequence_dnn")
    source.report.lose(body, dict.fromkeys(unlike, why))
    return _finish(source, body, keys, found, messages)


def esmm(source: Source, body: Message) -> Keys:
    """EasyRec's ESMM: their conversion is learned through the product over all rows, a task of its own here."""
    report, messages = source.report, [*body.messages("ctr_tower"), *body.messages("cvr_tower")]
    found = [source.task(message, index) for index, message in enumerate(messages)]
    for group in body.messages("groups"):
        group.values("input")
        report.lose(group, {"dnn": "the towers read the embeddings, groups have no layers of their own"})
    plain = len(found) == 2 and all(task["type"] == "binary" for task in found)
    if not plain or not re.fullmatch(r"[A-Za-z_]\w*", found[0]["label"]):
        report.add("changed", body, "", "the tasks are no click and conversion: shared_bottom is in its place")
        return _finish(source, body, NO_BOTTOM, found, messages)
    click, conversion = ({k: v for k, v in task.items() if k != "mask"} for task in found)
    name = next(n for n in ("ctcvr", "both", "click_and_conversion") if n not in (click["name"], conversion["name"]))
    both = {**conversion, "name": name}
    conversion = {k: v for k, v in conversion.items() if k != "weight"}
    conversion |= {"mask": f"{click['label']} == 1", "weight": 0}
    why = (
        f"'{conversion['label']}' is also the label of click and conversion together: it is 0 where nothing was clicked"
    )
    report.add("check", body, "", why)
    model = _finish(source, body, {"type": "esmm"}, [click, conversion], messages)
    return {**model, "tasks": [click, conversion, both]}


def pepnet(source: Source, body: Message) -> Keys:
    """TorchEasyRec's PEPNet: gated layers, then each task's own, are one gated tower here.

    Its groups are named in its keys, or are `all`, `domain` and `uia`.
    """
    report, towers = source.report, _towers(source)
    found, messages = _tasks(source, body)
    named = {"main": "all", "domain": "domain", "uia": "uia"}
    groups = {role: source.group(body.text(f"{role}_group_name", name)) for role, name in named.items()}
    main = groups["main"] if groups["main"].features or groups["main"].sequences else source.deep()
    gates = {ours: groups[role] for ours, role in (("domain", "domain"), ("gate", "uia"))}
    others = {name: group for name, group in gates.items() if group.features or group.sequences}
    report.lose(body, dict.fromkeys(("domain_input_name", "task_domain_num"), "a task has one tower for all domains"))
    if not others:
        report.add("changed", body, "", "has no group that gates read: shared_bottom without a bottom")
    elif "gate" not in others:
        report.add("changed", body, "", "the gates of the towers read the domain, as no other group is named")
        others["gate"] = others["domain"]
    for name in ("epnet_gamma", "ppnet_gamma"):
        if body.number(name, 2.0) != 2.0:
            report.add("lost", body, name, "a gate's factor is at most 2")
    tower = _gated(source, body, [towers.block(message.message("mlp")) for message in messages])
    width = body.integer("epnet_hidden_unit")
    keys: Keys = {**NO_BOTTOM, "tower": tower}
    if others:
        kind = "pepnet" if "domain" in others else "ppnet"
        keys = {"type": kind, "tower": tower, **({"gate_hidden": width} if width else {})}
        why = "gates scale what enters a layer, there what leaves it; all gates are as wide inside"
        report.add("changed", body, "", why)
    return over({**keys, "tasks": found}, {"deep": main, **others}, source.known)


def _gated(source: Source, body: Message, blocks: Sequence[Keys]) -> Keys:
    """The layers that gates scale, then those of the tasks' own towers."""
    widest: Keys = max(blocks, key=lambda block: sum(block["hidden"]), default={"hidden": []})
    if any(block != widest for block in blocks):
        source.report.add("changed", body, "task_towers", "all tasks have equal layers, the widest ones")
    own = body.integers("ppnet_hidden_units")
    if own and widest["hidden"]:
        source.report.add("changed", body, "ppnet_hidden_units", "the layers of the towers are gated too")
    tower = {**widest, "hidden": [*own, *widest["hidden"]] or [64]}
    rates = body.numbers("ppnet_dropout_ratio")
    tower |= {"dropout": float(max(rates))} if rates and max(rates) > 0 else {}
    if body.has("ppnet_activation"):
        tower["activation"] = layers.activation(body, source.report, "ppnet_activation")
    return tower


def weigh(draft: Draft, kind: str, config: Message, field: str, report: Report) -> None:
    """Let training find the weights of several tasks."""
    learned = [task for task in draft.model.get("tasks", []) if task.get("weight", 1.0) > 0]
    if len(learned) < 2:
        report.add("lost", config, field, "weighs the losses of one task, which have fixed weights here")
        return
    draft.train["task_weighting"] = kind
    why = f"task_weighting: {kind} weighs tasks, not single losses, and after its own paper"
    report.add("changed", config, field, why, target=("train", "task_weighting"))


def _towers(source: Source) -> Towers:
    return Towers(source.layer, batch_norm=source.layer == "dnn", report=source.report)


def _experts(source: Source) -> int:
    """Number of experts that names none."""
    return 3 if source.layer == "mlp" else 0


def _tasks(source: Source, body: Message) -> tuple[list[dict[str, Any]], list[Message]]:
    messages = body.messages("task_towers")
    return [source.task(message, index) for index, message in enumerate(messages)], messages


def _finish(
    source: Source, body: Message, keys: Keys, found: list[dict[str, Any]], messages: Sequence[Message]
) -> Keys:
    """The model with a tower for each task."""
    if source.wides:
        why = "models of several tasks read no first-order weights"
        source.report.add("lost", body, "", why, "list the features in the group 'deep' where they are not yet")
    towers = _towers(source).of_tasks([task["name"] for task in found], messages)
    groups: dict[str, Group] = {"deep": source.main()}
    return over({**keys, **towers, "tasks": found}, groups, source.known)
