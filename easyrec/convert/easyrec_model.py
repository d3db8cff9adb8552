"""The model of an EasyRec config."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from easyrec.convert import encoders, interactions, layers, losses, matching, multi_task, multi_tower, tasks
from easyrec.convert.draft import Draft
from easyrec.convert.groups import Group, attended, crossable, finish, pooled, present, stand_in, union
from easyrec.convert.message import Message
from easyrec.convert.outputs import outputs
from easyrec.convert.ranges import expand
from easyrec.convert.report import Report
from easyrec.convert.source import Source

L2 = 1e-4
"""Regularization of models that name none."""

_LOST = {
    "embedding_regularization": "theirs weighs the rows of a batch; train.embedding_regularizer weighs whole tables",
    "kd": "there is no distillation",
    "variational_dropout": "selects features while training: model.feature_gates does, and easyrec select before it",
    "ev_params": "tables that evict ids have no counterpart",
    "backbone": "blocks that are wired in the config have no counterpart",
    "restore_filters": "their checkpoints cannot be read",
}


def convert(root: Message, draft: Draft, report: Report) -> None:
    """Fill in `model` and `eval`."""
    config = root.message("model_config") or Message(root.line, path="model_config", file=root.file)
    name = config.text("model_class")
    report.target = ("model",)
    data = root.message("data_config") or Message(root.line, path="data_config", file=root.file)
    found = _Model(draft, report, config, data).of(name)
    report.lose(config, _LOST)
    config.values("model_name")
    report.target = None
    draft.model = found
    strategy = config.text("loss_weight_strategy", "Fixed")
    if strategy in ("Uncertainty", "1"):
        multi_task.weigh(draft, "uncertainty", config, "loss_weight_strategy", report)
    elif strategy not in ("Fixed", "0"):
        report.add("lost", config, "loss_weight_strategy", "losses have fixed weights")
    if "sampler" not in draft.data:
        matching.leave(data, report)
    types = {task["type"] for task in found.get("tasks", [])} or {"binary"}
    evaluation = root.message("eval_config")
    if evaluation is None:
        return
    if "sampler" in draft.data:
        matching.measure(evaluation.messages("metrics_set"), draft, report)
    else:
        metrics = tasks.metrics(_metrics(evaluation, "metrics_set"), types, report)
        draft.eval |= {"metrics": metrics} if metrics else {}
    dropped = ("num_examples", "eval_interval_secs", "max_evals", "save_graph", "eval_online")
    report.drop(evaluation, dict.fromkeys(dropped, "all rows of data.valid are measured, by train.evaluate_every"))


class _Model(Source):
    """The model of an EasyRec config."""

    def __init__(self, draft: Draft, report: Report, config: Message, data: Message) -> None:
        super().__init__(draft, report, outputs(draft.features), "dnn", config, data)
        for message in config.messages("feature_groups"):
            name = message.text("group_name")
            names = expand(message.texts("feature_names"))
            group = pooled(present(names, self.known, message, report, "feature_names"), self.known)
            for inner in message.messages("sequence_features"):
                group.add(self.attention(inner, inner.message("seq_dnn")))
            self.groups[name] = group
            if message.text("wide_deep", "DEEP") in ("WIDE", "1"):
                self.wides.add(name)
            if message.has("negative_sampler"):
                report.drop(message, {"negative_sampler": "no negatives are drawn"})
        self.attentions = {m.text("group_name"): m for m in config.messages("seq_att_groups")}

    def of(self, name: str) -> dict[str, Any]:
        """The model by their name of it."""
        config, report = self.config, self.report
        single = {} if name == "CoMetricLearningI2I" else self._single()  # its loss is a key of its own
        config.values("loss_type")
        body = next((m for n in config.names() if n in _BODIES for m in config.messages(n)), None)
        if body is not None and (name in _SINGLE or name in MULTI_TASK):
            self._regularize(name, body)
            return MULTI_TASK[name](self, body) if name in MULTI_TASK else _SINGLE[name](self, body, single)
        if body is not None and name in matching.OF_EASYREC:
            self._regularize(name, body)
            found = matching.OF_EASYREC[name](self, body, single)
            if found is not None:
                return found
        deep = self.deep() if self.groups or self.attentions else pooled(self.known, self.known)
        kind = stand_in(deep, self.known)
        if name:
            told = "cannot read these groups" if name in matching.OF_EASYREC else "is not there"
            why = f"{name} {told}; {kind} over the same features stands in its place, to start from"
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

    def deep(self) -> Group:
        return self._beside(union(group for name, group in self.groups.items() if name not in self.wides))

    def main(self) -> Group:
        """The group `all`, of which alone theirs know."""
        if "all" not in self.groups:
            return self.deep()
        if others := self.groups.keys() - {"all"} - self.wides:
            why = f"the model there reads the group 'all'; left out: {', '.join(sorted(others))}"
            place = Message(self.config.line_of("feature_groups"), path=self.config.below("feature_groups"))
            self.report.add("changed", place, "", why)
        return self._beside(self.group("all"))

    def _beside(self, group: Group) -> Group:
        """A group with the sequences that stand beside the groups."""
        for message in self.attentions.values():
            self.report.add("changed", message, "", "its interests join the features of the group 'deep'")
            group.add(self.attention(message, message.message("seq_dnn")))
        return group

    def interests(self, body: Message) -> Iterator[tuple[str, Group, Message]]:
        """The histories of the towers with target attention, or with a transformer."""
        for key in ("din_towers", "bst_towers"):
            for tower in body.messages(key):
                name = tower.text("input")
                message = self.attentions.get(name)
                if message is None:
                    self.report.add("lost", tower, "input", f"'{name}' is none of seq_att_groups")
                elif key == "din_towers":
                    yield name, self.attention(message, tower.message("dnn")), message
                else:
                    encoder, newest = encoders.transformer(tower, self.report)
                    yield name, self._compared(message, encoder, newest), message

    def attention(self, message: Message, unit: Message | None) -> Group:
        """An attention group: keys, and the histories that are compared with them."""
        return self._compared(message, layers.attention(unit, self.report, drop_last=True, batch_norm=True))

    def _compared(self, message: Message, encoder: dict[str, Any], newest: int = 0) -> Group:
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
        return attended(keys, steps, encoder, self.known, message, self.report, newest)

    def _regularize(self, name: str, body: Message) -> None:
        """L2 of the layers' weights, on unless the source says 0."""
        rate = float(body.number("l2_regularization", _L2.get(name, L2)))
        if rate > 0:
            self.draft.train["net_regularizer"] = rate
        for key in ("wide_regularization", "dense_regularization"):
            self.report.drop(body, {key: "has no effect there either"})

    def task(self, tower: Message, index: int) -> dict[str, Any]:
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


def _deep_part(source: Source, body: Message) -> dict[str, Any]:
    source.report.lose(body, {"final_dnn": "the parts are added up, no MLP follows"})
    if body.integer("wide_output_dim", 1) != 1:
        source.report.add("changed", body, "wide_output_dim", "first-order weights are single numbers")
    return source.mlp(body.message("dnn"))


def _deepfm(source: _Model, body: Message, single: dict[str, Any]) -> dict[str, Any]:
    return interactions.deepfm(source, body, _deep_part(source, body), single)


def _wide_and_deep(source: _Model, body: Message, single: dict[str, Any]) -> dict[str, Any]:
    keys = {"type": "wide_and_deep", **_deep_part(source, body), **single}
    return finish(keys, source.deep(), source.wide(), source.known)


def _fm(source: _Model, body: Message, single: dict[str, Any]) -> dict[str, Any]:
    body.values("use_variant")
    deep = source.deep()
    if why := crossable(deep, source.known):
        kind = stand_in(deep, source.known)
        why = f"a factorization machine needs fields of one width, but {why}: {kind} is in its place"
        source.report.add("changed", body, "", why, "give all fields one embedding_dim and set type: fm")
        return finish({"type": kind, **single}, deep, None, source.known)
    return finish({"type": "fm", **single}, deep, None, source.known)


def _multi_tower(source: _Model, body: Message, single: dict[str, Any]) -> dict[str, Any]:
    return multi_tower.convert(source, body, single, source.interests(body), "final_dnn")


_SINGLE: dict[str, Callable[[_Model, Message, dict[str, Any]], dict[str, Any]]] = {
    "AutoInt": interactions.autoint,
    "DCN": interactions.dcn_of_easyrec,
    "DLRM": interactions.dlrm_of_easyrec,
    "DeepFM": _deepfm,
    "FM": _fm,
    "MultiTower": _multi_tower,
    "MultiTowerBST": _multi_tower,
    "MultiTowerDIN": _multi_tower,
    "WideAndDeep": _wide_and_deep,
}
MULTI_TASK: dict[str, Callable[[Source, Message], dict[str, Any]]] = {
    "DBMTL": multi_task.dbmtl,
    "ESMM": multi_task.esmm,
    "MMoE": multi_task.mmoe,
    "PLE": multi_task.ple,
    "SimpleMultiTask": multi_task.shared_bottom,
}
_L2 = {"DLRM": 1e-5}
"""Regularization of models that name none, where it is not that of the others."""

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
