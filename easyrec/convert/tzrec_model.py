"""The model of a TorchEasyRec config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from easyrec.convert import layers, losses, tasks
from easyrec.convert.draft import Draft
from easyrec.convert.groups import Group, attended, crossable, finish, pooled, present, stand_in, union
from easyrec.convert.message import Message
from easyrec.convert.outputs import Output, outputs
from easyrec.convert.report import Report
from easyrec.convert.towers import Towers

MULTI_TASK = ("simple_multi_task", "mmoe", "dbmtl", "ple", "pepnet", "dc2vr")
"""Models of several tasks; each has `task_towers`."""

_DROPPED = {
    "kernel": "belongs to GPUs",
    "summaries_set": "the loss of training is always logged",
}
_LOST = {
    "variational_dropout": "selects features while training, which is not there",
    "use_pareto_loss_weight": "losses have fixed weights",
}


def convert(root: Message, draft: Draft, report: Report) -> None:
    """Fill in `model` and `eval`."""
    config = root.message("model_config") or Message(root.line, path="model_config", file=root.file)
    known = outputs(draft.features)
    groups: dict[str, _Source] = {}
    for message in config.messages("feature_groups"):
        names = present(message.texts("feature_names"), known, message, report, "feature_names")
        group = _group(message, names, known, report)
        groups[message.text("group_name")] = _Source(names, message.text("group_type", "DEEP"), group)
        report.lose(message, {"embedding_name_suffix": "a feature has one table, whatever group reads it"})
    report.drop(config, _DROPPED)
    report.lose(config, _LOST)
    name = next((n for n in config.names() if n not in _NOT_MODELS and _is_message(config, n)), "")
    model = config.message(name) if name else None
    report.target = ("model",)
    found_losses = losses.of_torcheasyrec(config, report, tasks.columns(draft))
    task = losses.typed(found_losses, config.integer("num_class", 1), report)
    found = _Model(draft, report, groups, known).of(name, model, config, task)
    report.target = None
    draft.model = found
    types = {task["type"] for task in found.get("tasks", [])} or {"binary"}
    metrics = tasks.metrics(_metrics(config, draft), types, report)
    draft.eval |= {"metrics": metrics} if metrics else {}
    _measured(config, draft, types, report)


_NOT_MODELS = ("feature_groups", "losses", "metrics", "train_metrics", *_DROPPED, *_LOST, "num_class")


def _is_message(message: Message, name: str) -> bool:
    return any(isinstance(f.value, Message) for f in message.fields if f.name == name)


@dataclass(frozen=True)
class _Source:
    """A group of the source: its names in order, its type, and what it is here where nothing else encodes it."""

    names: list[str]
    kind: str
    group: Group


class _Model:
    """Finds the nearest model that is here."""

    def __init__(
        self, draft: Draft, report: Report, groups: Mapping[str, _Source], known: Mapping[str, Output]
    ) -> None:
        self.draft, self.report, self.groups, self.known = draft, report, groups, known

    def of(self, name: str, model: Message | None, config: Message, task: dict[str, Any]) -> dict[str, Any]:
        single = tasks.single(self.draft, task)
        if name in MULTI_TASK and model is not None:
            return self.multi_task(name, model)
        method = getattr(self, f"_{name}", None)
        if model is not None and method is not None:
            result: dict[str, Any] = method(model, single)
            return result
        deep = self.deep() if self.groups else pooled(self.known, self.known)
        kind = stand_in(deep, self.known)
        if not name:
            self.report.add("check", config, "", f"the source names no model: {kind} stands in its place")
        else:
            why = f"is not there; {kind} over the same features stands in its place, to start from"
            self.report.add("lost", config, name, why, "choose a model: docs/models")
        return finish({"type": kind, **single}, deep, None, self.known)

    # -------------------------------------------------------------------------------------------- groups

    def deep(self) -> Group:
        """All groups but the wide ones, together."""
        return union(source.group for source in self.groups.values() if source.kind not in ("WIDE", "1"))

    def wide(self) -> Group | None:
        """The wide groups together."""
        found = [source.group for source in self.groups.values() if source.kind in ("WIDE", "1")]
        return union(found) if found else None

    def group(self, name: str) -> Group:
        return self.groups[name].group if name in self.groups else Group()

    # -------------------------------------------------------------------------------------------- models

    def _deepfm(self, model: Message, single: dict[str, Any]) -> dict[str, Any]:
        deep, wide, keys = self.deep(), self.wide(), self._deep_part(model)
        if why := crossable(deep, self.known):
            why = f"a factorization machine needs fields of one width, but {why}: wide_and_deep is in its place"
            self.report.add("changed", model, "", why, "give all fields one embedding_dim and set type: deepfm")
            return finish({"type": "wide_and_deep", **keys, **single}, deep, wide, self.known)
        if wide is not None and set(wide.features) != set(deep.features):
            why = "the first-order weights are those of the group 'deep', whatever the wide group lists"
            self.report.add("changed", model, "", why)
        return finish({"type": "deepfm", **keys, **single}, deep, None, self.known)

    def _wide_and_deep(self, model: Message, single: dict[str, Any]) -> dict[str, Any]:
        keys = self._deep_part(model)
        return finish({"type": "wide_and_deep", **keys, **single}, self.deep(), self.wide(), self.known)

    def _deep_part(self, model: Message) -> dict[str, Any]:
        deep = model.message("deep")
        self.report.lose(model, {"final": "the parts are added up, no MLP follows"})
        if model.has("wide_embedding_dim"):
            self.report.add("changed", model, "wide_embedding_dim", "first-order weights are single numbers")
        self.report.lose(model, {"wide_init_fn": "first-order weights start like all tables"})
        return layers.mlp(deep, self.report, batch_norm=False) if deep is not None else {}

    def _dcn_v2(self, model: Message, single: dict[str, Any]) -> dict[str, Any]:
        cross, deep = model.message("cross"), model.message("deep")
        keys: dict[str, Any] = {"cross_layers": 3, "low_rank": 32}
        if cross is not None:
            keys = {"cross_layers": cross.integer("cross_num", 3), "low_rank": cross.integer("low_rank", 32)}
        keys |= layers.mlp(deep, self.report, batch_norm=False) if deep is not None else {"structure": "cross"}
        self.report.lose(
            model,
            {
                "backbone": "features enter the crosses as they are",
                "final": "a single layer follows the crosses and the MLP",
            },
        )
        return finish({"type": "dcn_v2", **keys, **single}, self.deep(), None, self.known)

    def _dcn_v1(self, model: Message, single: dict[str, Any]) -> dict[str, Any]:
        cross, deep = model.message("cross"), model.message("deep")
        why = "dcn_v2 is in its place, whose matrices hold the vectors of the first version as a special case"
        self.report.add("changed", model, "", why, "set low_rank: 1 to come close to its size")
        keys: dict[str, Any] = {"cross_layers": cross.integer("cross_num", 3) if cross is not None else 3}
        keys |= layers.mlp(deep, self.report, batch_norm=False) if deep is not None else {"structure": "cross"}
        self.report.lose(model, {"final": "a single layer follows the crosses and the MLP"})
        return finish({"type": "dcn_v2", **keys, **single}, self.deep(), None, self.known)

    def _multi_tower(self, model: Message, single: dict[str, Any]) -> dict[str, Any]:
        return self._multi_tower_din(model, single)

    def _multi_tower_din(self, model: Message, single: dict[str, Any]) -> dict[str, Any]:
        towers = [(t, t.text("input"), t.message("mlp")) for t in model.messages("towers")]
        deep = union(self.group(name) for _, name, _ in towers)
        mlps = [layers.mlp(m, self.report, batch_norm=False) for _, _, m in towers if m is not None]
        for tower in model.messages("din_towers"):
            name = tower.text("input")
            encoder = layers.attention(tower.message("attn_mlp"), self.report)
            deep.add(self._encoded(name, encoder, tower))
        final = model.message("final")
        last = layers.mlp(final, self.report, batch_norm=False) if final is not None else {"hidden": []}
        keys = max(mlps, key=lambda m: sum(m["hidden"]), default=last)
        keys = {**keys, "hidden": [*keys["hidden"], *last["hidden"]] if mlps else last["hidden"]}
        keys = keys if keys["hidden"] else {}
        kind = "din" if deep.sequences else "wide_and_deep"
        why = "one MLP reads all groups and sequences, in place of a tower per group: the widest tower's layers, then those of 'final'"
        if kind == "wide_and_deep":
            why += "; first-order weights stand beside it"
        self.report.add("changed", model, "", why)
        return finish({"type": kind, **keys, **single}, deep, None, self.known)

    def _encoded(self, name: str, encoder: dict[str, Any], tower: Message) -> Group:
        """A group of type SEQUENCE through an encoder."""
        names = self.groups[name].names if name in self.groups else []
        queries = [n for n in names if not self.known[n].sequence]
        steps = [n for n in names if self.known[n].sequence]
        return attended(queries, steps, encoder, self.known, tower, self.report)

    def multi_task(self, name: str, model: Message) -> dict[str, Any]:
        """A model with a tower for each task."""
        messages = model.messages("task_towers")
        found = [self._tower(tower, index) for index, tower in enumerate(messages)]
        names, towers = [task["name"] for task in found], Towers("mlp", batch_norm=False, report=self.report)
        self.report.lose(model, {"mask_net": "fields enter the layers as they are"})
        if self.wide() is not None:
            why = "models of several tasks read no first-order weights"
            self.report.add("lost", model, "", why, "list the features in the group 'deep' where they are not yet")
        if name == "pepnet":
            return self._pepnet(model, found, messages)
        keys: dict[str, Any] = {"type": name}
        if name == "simple_multi_task":
            keys = {"type": "shared_bottom", "bottom": []}
        elif name == "mmoe":
            keys |= towers.experts(model, 3)
        elif name == "ple":
            keys |= towers.levels(model)
        else:
            if name == "dc2vr":
                self.report.add("changed", model, "", "dbmtl is in its place: the same layers, without interventions")
            keys = {"type": "dbmtl", "bottom": towers.block(model.message("bottom_mlp")), **towers.experts(model, 3)}
            keys |= towers.relations(names, messages)
        return finish({**keys, **towers.of_tasks(names, messages), "tasks": found}, self.deep(), None, self.known)

    def _pepnet(self, model: Message, found: list[dict[str, Any]], messages: list[Message]) -> dict[str, Any]:
        """Their gated layers, then each task's own, are one gated tower here."""
        towers = Towers("mlp", batch_norm=False, report=self.report)
        names = {role: model.text(f"{role}_group_name") for role in ("main", "domain", "uia")}
        main = self.group(names["main"]) if names["main"] in self.groups else self.deep()
        blocks = [towers.block(tower.message("mlp")) for tower in messages]
        widest: dict[str, Any] = max(blocks, key=lambda block: sum(block["hidden"]), default={"hidden": []})
        if any(block != widest for block in blocks):
            self.report.add("changed", model, "task_towers", "all tasks have equal layers, the widest ones")
        own = model.integers("ppnet_hidden_units")
        if own and widest["hidden"]:
            self.report.add("changed", model, "ppnet_hidden_units", "the layers of the towers are gated too")
        tower = {**widest, "hidden": [*own, *widest["hidden"]] or [64]}
        rates = model.numbers("ppnet_dropout_ratio")
        tower |= {"dropout": float(max(rates))} if rates and max(rates) > 0 else {}
        if model.has("ppnet_activation"):
            tower["activation"] = layers.activation(model, self.report, "ppnet_activation")
        keys: dict[str, Any] = {"tower": tower}
        width = model.integer("epnet_hidden_unit")
        others = {
            ours: self.group(names[role]) for ours, role in (("domain", "domain"), ("gate", "uia")) if names[role]
        }
        if not others:
            self.report.add("changed", model, "", "names no group that gates read: shared_bottom without a bottom")
            return finish({"type": "shared_bottom", "bottom": [], **keys, "tasks": found}, main, None, self.known)
        if "gate" not in others:
            self.report.add("changed", model, "", "the gates of the towers read the domain, as no other group is named")
            others["gate"] = others["domain"]
        keys |= {"gate_hidden": width} if width else {}
        kind = "pepnet" if "domain" in others else "ppnet"
        return finish({"type": kind, **keys, "tasks": found}, main, None, self.known, others)

    def _tower(self, tower: Message, index: int) -> dict[str, Any]:
        labels = self.draft.data["labels"]
        label = tower.text("label_name") or labels[min(index, len(labels) - 1)]
        if label not in labels:
            labels.append(label)
        found = losses.of_torcheasyrec(tower, self.report, tasks.columns(self.draft))
        kind = losses.typed(found, tower.integer("num_class", 1), self.report)
        task = {"name": tasks.plain_name(tower.text("tower_name") or label), "label": label, **kind}
        if tower.number("weight", 1.0) != 1.0:
            task["weight"] = float(tower.number("weight"))
        task |= tasks.in_space(tower, self.report, "task_space_indicator_label")
        metrics = tasks.metrics(_metrics(tower, self.draft), {kind["type"]}, self.report)
        task |= {"metrics": metrics} if metrics else {}
        self.report.lose(
            tower,
            {
                "intervention_tower_names": "tasks do not intervene in each other's towers",
                "low_rank_dim": "tasks do not intervene in each other's towers",
                "sample_weight_name": "one weight serves all tasks: data.sample_weight",
            },
        )
        _measured(tower, self.draft, {kind["type"]}, self.report)
        return task


def _group(message: Message, names: list[str], known: Mapping[str, Output], report: Report) -> Group:
    """A group: its features, and its sequences through their encoders, pooled where it names none."""
    group = pooled(names, known)
    inner = {g.text("group_name"): g for g in message.messages("sequence_groups")}
    encoded: set[str] = set()
    for encoders in message.messages("sequence_encoders"):
        for name in encoders.names():
            encoder = encoders.message(name)
            assert encoder is not None
            # an encoder that names no input reads the only group there is
            source = encoder.text("input") or (next(iter(inner)) if len(inner) == 1 else "")
            encoded.add(source)
            if source not in inner:
                why = f"reads no group of sequences: 'input' is {source!r}, but there are {sorted(inner)}"
                report.add("lost", encoders, name, why, "name the group that it reads")
                continue
            members = inner[source].texts("feature_names")
            members = present(members, known, inner[source], report, "feature_names")
            queries = [n for n in members if not known[n].sequence]
            steps = [n for n in members if known[n].sequence]
            group.add(attended(queries, steps, _encoder(name, encoder, encoders, report), known, encoder, report))
    for name in inner.keys() - encoded:
        report.add("lost", inner[name], "", "no encoder reads this group of sequences", "give it one, or leave it out")
        inner[name].settle()
    return group


def _encoder(name: str, encoder: Message, outer: Message, report: Report) -> dict[str, Any]:
    encoder.values("name")
    if name == "din_encoder":
        if encoder.has("max_seq_length"):
            report.add("lost", encoder, "max_seq_length", "the sequence's own sequence_length cuts it")
        return layers.attention(encoder.message("attn_mlp"), report)
    if name == "pooling_encoder":
        return {"type": "pooling", "pooling": encoder.text("pooling_type", "mean")}
    report.add("changed", outer, name, "this encoder is not there: din is in its place", "see docs/models/sequences.md")
    return {"type": "din", "softmax": True}


def _metrics(config: Message, draft: Draft) -> list[tuple[Any, Message, str]]:
    """Metrics; theirs group by a feature, ours by a column."""
    return _listed(config.messages("metrics"), draft)


def _measured(message: Message, draft: Draft, kinds: set[str], report: Report) -> None:
    """Metrics of training; theirs decay by steps and with a rate each, ours at every log and with one."""
    listed = message.messages("train_metrics")
    found = tasks.metrics(_listed(listed, draft), kinds, report)
    for metric in listed:
        if metric.has("decay_step"):
            report.add("changed", metric, "decay_step", "rows decay at every log: train.log_every")
    if found:
        kept = draft.train.setdefault("metrics", {"metrics": []})
        kept["metrics"] += [metric for metric in found if metric not in kept["metrics"]]
        rates = [float(metric.number("decay_rate", 0.9)) for metric in listed]
        kept.update({"decay": rates[0]} if rates[0] != 0.9 else {})


def _listed(messages: Sequence[Message], draft: Draft) -> list[tuple[Any, Message, str]]:
    columns = tasks.columns(draft)
    found: list[tuple[Any, Message, str]] = []
    for metric in messages:
        for name in metric.names():
            if name in ("decay_rate", "decay_step"):
                continue
            inner = metric.message(name)
            found.append((_metric(name, inner, columns), metric, name))
    return found


def _metric(name: str, inner: Message | None, columns: Mapping[str, str]) -> Any:
    if inner is None:
        return None
    if name in ("grouped_auc", "grouped_xauc"):
        key = inner.text("grouping_key")
        inner.values("max_pairs_per_group")  # ours counts all pairs
        kind = "gauc" if name == "grouped_auc" else "grouped_xauc"
        return {"type": kind, "by": columns.get(key, key), "weighting": "plain"}
    known = {
        "auc": "auc",
        "multiclass_auc": "auc",
        "mean_absolute_error": "mae",
        "mean_squared_error": "mse",
        "accuracy": "accuracy",
        "xauc": "xauc",
        "normalized_entropy": "normalized_entropy",
    }
    if name in known:
        inner.settle()  # thresholds of an approximate AUC; ours is exact
    return known.get(name)
