"""The model of a TorchEasyRec config."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from easyrec.convert import interactions, layers, losses, matching, multi_task, multi_tower, tasks
from easyrec.convert.draft import Draft
from easyrec.convert.encoders import of_torcheasyrec
from easyrec.convert.groups import Group, attended, finish, pooled, present, stand_in, union
from easyrec.convert.message import Message
from easyrec.convert.outputs import Output, outputs
from easyrec.convert.report import Report
from easyrec.convert.source import Source

_DROPPED = {
    "kernel": "belongs to GPUs",
    "summaries_set": "the loss of training is always logged",
}
_LOST = {
    "variational_dropout": "selects features while training: model.feature_gates does, and easyrec select before it",
}


def convert(root: Message, draft: Draft, report: Report) -> None:
    """Fill in `model` and `eval`."""
    config = root.message("model_config") or Message(root.line, path="model_config", file=root.file)
    data = root.message("data_config") or Message(root.line, path="data_config", file=root.file)
    source = _Model(draft, report, config, data)
    report.drop(config, _DROPPED)
    report.lose(config, _LOST)
    name = next((n for n in config.names() if n not in _NOT_MODELS and _is_message(config, n)), "")
    model = config.message(name) if name else None
    report.target = ("model",)
    found_losses = losses.of_torcheasyrec(config, report, tasks.columns(draft))
    task = losses.typed(found_losses, config.integer("num_class", 1), report)
    found = source.of(name, model, config, task)
    report.target = None
    draft.model = found
    if config.flag("use_pareto_loss_weight"):
        multi_task.weigh(draft, "mgda", config, "use_pareto_loss_weight", report)
    if "sampler" in draft.data:
        matching.measure(config.messages("metrics"), draft, report)
        report.lose(config, {"train_metrics": "are of labels, which training against a catalogue has none of"})
        return
    matching.leave(data, report)
    types = {task["type"] for task in found.get("tasks", [])} or {"binary"}
    metrics = tasks.metrics(_metrics(config, draft), types, report)
    draft.eval |= {"metrics": metrics} if metrics else {}
    _measured(config, draft, types, report)


_NOT_MODELS = (
    "feature_groups",
    "losses",
    "metrics",
    "train_metrics",
    *_DROPPED,
    *_LOST,
    "num_class",
    "use_pareto_loss_weight",
)


def _is_message(message: Message, name: str) -> bool:
    return any(isinstance(f.value, Message) for f in message.fields if f.name == name)


class _Model(Source):
    """The model of a TorchEasyRec config."""

    def __init__(self, draft: Draft, report: Report, config: Message, data: Message) -> None:
        super().__init__(draft, report, outputs(draft.features), "mlp", config, data)
        self.names = dict[str, list[str]]()
        for message in config.messages("feature_groups"):
            name = message.text("group_name")
            self.names[name] = present(message.texts("feature_names"), self.known, message, report, "feature_names")
            self.groups[name] = _group(message, self.names[name], self.known, report)
            if message.text("group_type", "DEEP") in ("WIDE", "1"):
                self.wides.add(name)
            report.lose(message, {"embedding_name_suffix": "a feature has one table, whatever group reads it"})

    def of(self, name: str, model: Message | None, config: Message, task: dict[str, Any]) -> dict[str, Any]:
        """The model by their name of it."""
        if model is not None and name in MULTI_TASK:
            return MULTI_TASK[name](self, model)
        if model is not None and name in _SINGLE:
            return _SINGLE[name](self, model, tasks.single(self.draft, task))
        if model is not None and name in matching.OF_TORCHEASYREC:
            found = matching.OF_TORCHEASYREC[name](self, model, tasks.single(self.draft, task))
            if found is not None:
                return found
        deep = self.deep() if self.groups else pooled(self.known, self.known)
        kind = stand_in(deep, self.known)
        todo = "choose a model: docs/models"
        if not name:
            self.report.add("check", config, "", f"the source names no model: {kind} stands in its place")
        else:
            why = "cannot read these groups" if name in matching.OF_TORCHEASYREC else "is not there"
            if name in _LISTED:
                why = "has all candidates of a request in one row, where a row here has one item"
                todo = f"write a row per item, and take {_LISTED[name]}"
            why += f"; {kind} over the same features stands in its place, to start from"
            self.report.add("lost", config, name, why, todo)
        return finish({"type": kind, **tasks.single(self.draft, task)}, deep, None, self.known)

    def deep(self) -> Group:
        return union(group for name, group in self.groups.items() if name not in self.wides)

    def main(self) -> Group:
        """The first group, of which alone theirs know."""
        first, *others = self.groups or [""]
        if others and not set(others) <= self.wides:
            why = f"the model there reads the first group, '{first}'; left out: {', '.join(others)}"
            place = Message(self.config.line_of("feature_groups"), path=self.config.below("feature_groups"))
            self.report.add("changed", place, "", why)
        return self.group(first)

    def interests(self, model: Message) -> Iterator[tuple[str, Group, Message]]:
        """The sequences of the towers with target attention."""
        for tower in model.messages("din_towers"):
            name = tower.text("input")
            encoder = layers.attention(tower.message("attn_mlp"), self.report)
            names = self.names.get(name, [])
            queries = [n for n in names if not self.known[n].sequence]
            steps = [n for n in names if self.known[n].sequence]
            yield name, attended(queries, steps, encoder, self.known, tower, self.report), tower

    def task(self, tower: Message, index: int) -> dict[str, Any]:
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
        lost = dict.fromkeys(
            ("intervention_tower_names", "low_rank_dim", "dropout_ratio"),
            "tasks do not intervene in each other's towers",
        )
        self.report.lose(tower, {**lost, "sample_weight_name": "one weight serves all tasks: data.sample_weight"})
        _measured(tower, self.draft, {kind["type"]}, self.report)
        return task


def _deepfm(source: Source, model: Message, single: dict[str, Any]) -> dict[str, Any]:
    return interactions.deepfm(source, model, _deep_part(source, model), single)


def _wide_and_deep(source: Source, model: Message, single: dict[str, Any]) -> dict[str, Any]:
    keys = {"type": "wide_and_deep", **_deep_part(source, model), **single}
    return finish(keys, source.deep(), source.wide(), source.known)


def _deep_part(source: Source, model: Message) -> dict[str, Any]:
    source.report.lose(model, {"final": "the parts are added up, no MLP follows"})
    if model.has("wide_embedding_dim"):
        source.report.add("changed", model, "wide_embedding_dim", "first-order weights are single numbers")
    source.report.lose(model, {"wide_init_fn": "first-order weights start like all tables"})
    return source.mlp(model.message("deep"))


def _multi_tower(source: _Model, model: Message, single: dict[str, Any]) -> dict[str, Any]:
    return multi_tower.convert(source, model, single, source.interests(model))


_SINGLE: dict[str, Callable[[_Model, Message, dict[str, Any]], dict[str, Any]]] = {
    "dcn_v1": interactions.dcn_v1,
    "dcn_v2": interactions.dcn_v2,
    "deepfm": _deepfm,
    "dlrm": interactions.dlrm,
    "mask_net": interactions.masknet,
    "multi_tower": _multi_tower,
    "multi_tower_din": _multi_tower,
    "wide_and_deep": _wide_and_deep,
    "wukong": interactions.wukong,
    "xdeepfm": interactions.xdeepfm,
}
_LISTED = {"dlrm_hstu": "dlrm_hstu", "hstu_match": "hstu"}
"""Models whose rows there are requests, and what they are here."""
MULTI_TASK: dict[str, Callable[[Source, Message], dict[str, Any]]] = {
    "dbmtl": multi_task.dbmtl,
    "dc2vr": multi_task.dbmtl,
    "mmoe": multi_task.mmoe,
    "pepnet": multi_task.pepnet,
    "ple": multi_task.ple,
    "simple_multi_task": multi_task.shared_bottom,
}
"""Models of several tasks; each has `task_towers`."""


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
            config, newest = of_torcheasyrec(name, encoder, encoders, report)
            group.add(attended(queries, steps, config, known, encoder, report, newest))
    for name in inner.keys() - encoded:
        report.add("lost", inner[name], "", "no encoder reads this group of sequences", "give it one, or leave it out")
        inner[name].settle()
    return group


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
