"""The model of an EasyRec config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from easyrec.convert import layers, losses, tasks
from easyrec.convert.draft import Draft
from easyrec.convert.groups import Group, attended, crossable, finish, pooled, present, stand_in, union
from easyrec.convert.message import Message
from easyrec.convert.outputs import Output, outputs
from easyrec.convert.ranges import expand
from easyrec.convert.report import Report
from easyrec.convert.towers import Towers

L2 = 1e-4
"""Regularization of models that name none."""

MULTI_TASK = ("MMoE", "ESMM", "DBMTL", "SimpleMultiTask", "PLE")

_LOST = {
    "embedding_regularization": "theirs weighs the rows of a batch; train.embedding_regularizer weighs whole tables",
    "kd": "there is no distillation",
    "variational_dropout": "selects features while training, which is not there",
    "loss_weight_strategy": "losses have fixed weights",
    "ev_params": "tables that evict ids have no counterpart",
    "backbone": "blocks that are wired in the config have no counterpart",
    "restore_filters": "their checkpoints cannot be read",
}


def convert(root: Message, draft: Draft, report: Report) -> None:
    """Fill in `model` and `eval`."""
    config = root.message("model_config") or Message(root.line, path="model_config", file=root.file)
    known = outputs(draft.features)
    name = config.text("model_class")
    report.target = ("model",)
    found = _Model(draft, report, config, known).of(name)
    report.lose(config, _LOST)
    config.values("model_name")
    report.target = None
    draft.model = found
    types = {task["type"] for task in found.get("tasks", [])} or {"binary"}
    evaluation = root.message("eval_config")
    if evaluation is None:
        return
    metrics = tasks.metrics(_metrics(evaluation, "metrics_set"), types, report)
    draft.eval |= {"metrics": metrics} if metrics else {}
    dropped = ("num_examples", "eval_interval_secs", "max_evals", "save_graph", "eval_online")
    report.drop(evaluation, dict.fromkeys(dropped, "all rows of data.valid are measured, by train.evaluate_every"))


class _Model:
    """Finds the nearest model that is here."""

    def __init__(self, draft: Draft, report: Report, config: Message, known: Mapping[str, Output]) -> None:
        self.draft, self.report, self.config, self.known = draft, report, config, known
        self.groups: dict[str, Group] = {}
        self.wides: set[str] = set()
        for message in config.messages("feature_groups"):
            name = message.text("group_name")
            names = expand(message.texts("feature_names"))
            group = pooled(present(names, known, message, report, "feature_names"), known)
            for inner in message.messages("sequence_features"):
                group.add(self._attention(inner, inner.message("seq_dnn")))
            self.groups[name] = group
            if message.text("wide_deep", "DEEP") in ("WIDE", "1"):
                self.wides.add(name)
            if message.has("negative_sampler"):
                report.drop(message, {"negative_sampler": "no negatives are drawn"})
        self.attentions = {m.text("group_name"): m for m in config.messages("seq_att_groups")}

    def of(self, name: str) -> dict[str, Any]:
        config, report = self.config, self.report
        single = self._single()
        method = getattr(self, f"_{name.lower()}", None)
        body = next((m for n in config.names() if n in _BODIES for m in config.messages(n)), None)
        if name in MULTI_TASK and body is not None:
            return self.multi_task(name, body)
        if method is not None and body is not None:
            result: dict[str, Any] = method(body, single)
            return result
        deep = self.deep() if self.groups or self.attentions else pooled(self.known, self.known)
        kind = stand_in(deep, self.known)
        if name:
            why = f"{name} is not there; {kind} over the same features stands in its place, to start from"
            report.add("lost", config, "model_class", why, "choose a model: docs/models")
        else:
            report.add("check", config, "", f"the source names no model: {kind} stands in its place")
        for key in (*_BODIES, "seq_att_groups", "model_params"):
            for message in config.messages(key):
                message.settle()
        return finish({"type": kind, **single}, deep, None, self.known)

    def _single(self) -> dict[str, Any]:
        """The task of a model with one."""
        kind = losses.typed(
            losses.of_easyrec(self.config, self.report), self.config.integer("num_class", 1), self.report
        )
        if self.config.has("label_name"):
            label = self.config.text("label_name")
            labels = self.draft.data["labels"]
            labels += [] if label in labels else [label]
            return {"tasks": [{"name": tasks.plain_name(label), "label": label, **kind}]}
        return tasks.single(self.draft, kind)

    # -------------------------------------------------------------------------------------------- groups

    def deep(self) -> Group:
        """All groups but the wide ones, together."""
        whole = union(group for name, group in self.groups.items() if name not in self.wides)
        for message in self.attentions.values():
            self.report.add("changed", message, "", "its interests join the features of the group 'deep'")
            whole.add(self._attention(message, message.message("seq_dnn")))
        return whole

    def wide(self) -> Group | None:
        """The wide groups together."""
        return union(self.groups[name] for name in self.groups if name in self.wides) if self.wides else None

    def _attention(self, message: Message, unit: Message | None) -> Group:
        """An attention group: keys, and the histories that are compared with them."""
        encoder = layers.attention(unit, self.report, drop_last=True, batch_norm=True)
        keys, steps = [], []
        for pair in message.messages("seq_att_map"):
            keys += present(expand(pair.texts("key")), self.known, pair, self.report, "key")
            steps += present(expand(pair.texts("hist_seq")), self.known, pair, self.report, "hist_seq")
            if pair.has("aux_hist_seq"):
                self.report.add("lost", pair, "aux_hist_seq", "every column of a step is compared, or none is")
        dropped = ("allow_key_search", "need_key_feature", "allow_key_transform", "transform_dnn")
        self.report.drop(message, dict.fromkeys(dropped, "keys are features of the group"))
        message.values("tf_summary")
        message.values("group_name")
        return attended(keys, steps, encoder, self.known, message, self.report)

    # -------------------------------------------------------------------------------------------- models

    def _regularize(self, body: Message) -> None:
        """L2 of the layers' weights, on unless the source says 0."""
        rate = float(body.number("l2_regularization", L2))
        if rate > 0:
            self.draft.train["net_regularizer"] = rate
        for key in ("wide_regularization", "dense_regularization"):
            self.report.drop(body, {key: "has no effect there either"})

    def _parts(self, body: Message) -> dict[str, Any]:
        self._regularize(body)
        self.report.lose(body, {"final_dnn": "the parts are added up, no MLP follows"})
        if body.integer("wide_output_dim", 1) != 1:
            self.report.add("changed", body, "wide_output_dim", "first-order weights are single numbers")
        dnn = body.message("dnn")
        return layers.mlp(dnn, self.report, batch_norm=True) if dnn is not None else {}

    def _deepfm(self, body: Message, single: dict[str, Any]) -> dict[str, Any]:
        deep, wide, keys = self.deep(), self.wide(), self._parts(body)
        if why := crossable(deep, self.known):
            why = f"a factorization machine needs fields of one width, but {why}: wide_and_deep is in its place"
            self.report.add("changed", body, "", why, "give all fields one embedding_dim and set type: deepfm")
            return finish({"type": "wide_and_deep", **keys, **single}, deep, wide, self.known)
        if wide is not None and set(wide.features) != set(deep.features):
            why = "the first-order weights are those of the group 'deep', whatever the wide group lists"
            self.report.add("changed", body, "", why)
        return finish({"type": "deepfm", **keys, **single}, deep, None, self.known)

    def _wideanddeep(self, body: Message, single: dict[str, Any]) -> dict[str, Any]:
        return finish({"type": "wide_and_deep", **self._parts(body), **single}, self.deep(), self.wide(), self.known)

    def _fm(self, body: Message, single: dict[str, Any]) -> dict[str, Any]:
        self._regularize(body)
        body.values("use_variant")
        deep = self.deep()
        if why := crossable(deep, self.known):
            kind = stand_in(deep, self.known)
            why = f"a factorization machine needs fields of one width, but {why}: {kind} is in its place"
            self.report.add("changed", body, "", why, "give all fields one embedding_dim and set type: fm")
            return finish({"type": kind, **single}, deep, None, self.known)
        return finish({"type": "fm", **single}, deep, None, self.known)

    def _dcn(self, body: Message, single: dict[str, Any]) -> dict[str, Any]:
        self._regularize(body)
        deep, cross = body.message("deep_tower"), body.message("cross_tower")
        names = [m.text("input") for m in (deep, cross) if m is not None]
        dnn = deep.message("dnn") if deep is not None else None
        keys: dict[str, Any] = {"cross_layers": 3}
        if cross is not None:
            keys["cross_layers"] = cross.integer("cross_num", 3)
            if cross.integer("version", 1) == 2:
                keys |= {"low_rank": cross.integer("projection_dim")} if cross.integer("projection_dim") else {}
                self.report.lose(
                    cross,
                    dict.fromkeys(("diag_scale", "preactivation", "use_bias"), "the crosses are those of the paper"),
                )
            else:
                why = "dcn_v2 is in its place, whose matrices hold the vectors of the first version as a special case"
                self.report.add("changed", cross, "", why, "set low_rank: 1 to come close to its size")
        keys |= layers.mlp(dnn, self.report, batch_norm=True) if dnn is not None else {"structure": "cross"}
        self.report.lose(body, {"final_dnn": "a single layer follows the crosses and the MLP"})
        group = union(self.groups[name] for name in names if name in self.groups)
        if len({id(self.groups[name]) for name in names if name in self.groups}) > 1:
            self.report.add("changed", body, "", "crosses and MLP read the same group, both groups together")
        return finish({"type": "dcn_v2", **keys, **single}, group, None, self.known)

    def _multitowerbst(self, body: Message, single: dict[str, Any]) -> dict[str, Any]:
        return self._multitowerdin(body, single)

    def _multitower(self, body: Message, single: dict[str, Any]) -> dict[str, Any]:
        return self._multitowerdin(body, single)

    def _multitowerdin(self, body: Message, single: dict[str, Any]) -> dict[str, Any]:
        self._regularize(body)
        towers = body.messages("towers")
        deep = union(self.groups[n] for t in towers if (n := t.text("input")) in self.groups)
        mlps = [layers.mlp(m, self.report, batch_norm=True) for t in towers if (m := t.message("dnn")) is not None]
        for tower in body.messages("din_towers"):
            group = self.attentions.get(tower.text("input"))
            if group is not None:
                deep.add(self._attention(group, tower.message("dnn")))
        for tower in body.messages("bst_towers"):
            group = self.attentions.get(tower.text("input"))
            why = "a transformer over the history is not there: din is in its place"
            self.report.add("changed", body, "bst_towers", why, "see docs/models/sequences.md")
            if group is not None:
                deep.add(self._attention(group, None))
        final = body.message("final_dnn")
        last = layers.mlp(final, self.report, batch_norm=True) if final is not None else {"hidden": []}
        keys = dict(max(mlps, key=lambda m: sum(m["hidden"]), default=last))
        keys["hidden"] = [*keys["hidden"], *last["hidden"]] if mlps else last["hidden"]
        keys = keys if keys["hidden"] else {}
        kind = "din" if deep.sequences else "wide_and_deep"
        why = "one MLP reads all groups and histories, in place of a tower per group: the widest tower's layers, then those of 'final_dnn'"
        if kind == "wide_and_deep":
            why += "; first-order weights stand beside it"
        self.report.add("changed", body, "", why)
        return finish({"type": kind, **keys, **single}, deep, None, self.known)

    def multi_task(self, name: str, body: Message) -> dict[str, Any]:
        """A model with a tower for each task."""
        self._regularize(body)
        if self.wides:
            why = "models of several tasks read no first-order weights"
            self.report.add("lost", body, "", why, "list the features in the group 'deep' where they are not yet")
        messages = [*body.messages("task_towers"), *body.messages("ctr_tower"), *body.messages("cvr_tower")]
        found = [self._tower(tower, index) for index, tower in enumerate(messages)]
        names, towers = [task["name"] for task in found], Towers("dnn", batch_norm=True, report=self.report)
        keys: dict[str, Any] = {"type": "shared_bottom", "bottom": []}
        if name == "MMoE":
            keys = {"type": "mmoe", **self._experts(body, towers)}
        elif name == "PLE":
            keys = {"type": "ple", **towers.levels(body)}
        elif name == "DBMTL":
            keys = {"type": "dbmtl", "bottom": towers.block(body.message("bottom_dnn")), **towers.experts(body, 0)}
            keys |= towers.relations(names, messages)
        elif name == "ESMM":
            keys, found = self._esmm(body, found)
        why = "has no counterpart: features enter the layers as they are"
        self.report.lose(body, dict.fromkeys(("bottom_cmbf", "bottom_uniter", "use_feature_bn", "sequence_dnn"), why))
        return finish({**keys, **towers.of_tasks(names, messages), "tasks": found}, self.deep(), None, self.known)

    def _experts(self, body: Message, towers: Towers) -> dict[str, Any]:
        """Experts by their number, or one by one as they were once written."""
        listed = body.messages("experts")
        for expert in listed:
            expert.values("expert_name")
        blocks = [towers.block(expert.message("dnn")) for expert in listed]
        if not blocks:
            return towers.experts(body, 0)
        if any(block != blocks[0] for block in blocks):
            self.report.add("changed", body, "experts", "all experts have the layers of the first")
        return {"experts": len(blocks), "expert": blocks[0]}

    def _esmm(self, body: Message, found: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Their conversion is learned through the product over all rows, a task of its own here."""
        for group in body.messages("groups"):
            group.values("input")
            self.report.lose(group, {"dnn": "the towers read the embeddings, groups have no layers of their own"})
        plain = len(found) == 2 and all(task["type"] == "binary" for task in found)
        if not plain or not re.fullmatch(r"[A-Za-z_]\w*", found[0]["label"]):
            self.report.add("changed", body, "", "the tasks are no click and conversion: shared_bottom is in its place")
            return {"type": "shared_bottom", "bottom": []}, found
        click, conversion = ({k: v for k, v in task.items() if k != "mask"} for task in found)
        name = next(
            n for n in ("ctcvr", "both", "click_and_conversion") if n not in (click["name"], conversion["name"])
        )
        both = {**conversion, "name": name}
        conversion = {k: v for k, v in conversion.items() if k != "weight"}
        conversion |= {"mask": f"{click['label']} == 1", "weight": 0}
        why = f"'{conversion['label']}' is also the label of click and conversion together: it is 0 where nothing was clicked"
        self.report.add("check", body, "", why)
        return {"type": "esmm"}, [click, conversion, both]

    def _tower(self, tower: Message, index: int) -> dict[str, Any]:
        labels = self.draft.data["labels"]
        label = tower.text("label_name") or labels[min(index, len(labels) - 1)]
        if label not in labels:
            labels.append(label)
        kind = losses.typed(losses.of_easyrec(tower, self.report), tower.integer("num_class", 1), self.report)
        task = {"name": tasks.plain_name(tower.text("tower_name") or label), "label": label, **kind}
        if tower.number("weight", 1.0) != 1.0:
            task["weight"] = float(tower.number("weight"))
        task |= tasks.in_space(tower, self.report, "task_space_indicator_label")
        metrics = tasks.metrics(_metrics(tower, "metrics_set"), {kind["type"]}, self.report)
        task |= {"metrics": metrics} if metrics else {}
        self.report.drop(tower, {"use_sample_weight": "data.sample_weight serves all tasks"})
        return task


_BODIES = [
    "wide_and_deep",
    "deepfm",
    "multi_tower",
    "fm",
    "dcn",
    "autoint",
    "dlrm",
    "cmbf",
    "uniter",
    "multi_tower_recall",
    "dssm",
    "mind",
    "dropoutnet",
    "metric_learning",
    "pdn",
    "dssm_senet",
    "dat",
    "mmoe",
    "esmm",
    "dbmtl",
    "simple_multi_task",
    "ple",
    "rocket_launching",
    "dummy",
]
"""The messages that hold a model's own keys."""

_WEIGHTING = {"mean": "plain", "mean_by_sample_num": "samples", "mean_by_positive_num": "positives"}


def _metrics(message: Message, key: str) -> list[tuple[Any, Message, str]]:
    found: list[tuple[Any, Message, str]] = []
    for metric in message.messages(key):
        for name in metric.names():
            inner = metric.message(name)
            found.append((_metric(name, inner), metric, name))
    return found


def _metric(name: str, inner: Message | None) -> Any:
    known = {
        "auc": "auc",
        "accuracy": "accuracy",
        "mean_absolute_error": "mae",
        "mean_squared_error": "mse",
        "root_mean_squared_error": "rmse",
        "max_f1": "max_f1",
        "precision": "precision",
        "recall": "recall",
    }
    if inner is not None and name in ("gauc", "session_auc"):
        by = inner.text("uid_field") if name == "gauc" else inner.text("session_id_field")
        return {"type": name, "by": by, "weighting": _WEIGHTING.get(inner.text("reduction", "mean"), "plain")}
    if inner is not None and name in known:
        inner.settle()
    return known.get(name)
