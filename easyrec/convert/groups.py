"""Groups of features and sequences, and the model that reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from easyrec.convert.message import Message
from easyrec.convert.outputs import Output
from easyrec.convert.report import Report

EMBEDDING_DIM = 16
"""Width of embeddings whose feature names none."""


@dataclass
class Group:
    """What a model reads together: names of features, and entries of sequences."""

    features: list[str] = field(default_factory=list)
    sequences: list[dict[str, Any]] = field(default_factory=list)

    def add(self, other: Group) -> Group:
        """Take over what another group has beyond this one."""
        self.features += [name for name in other.features if name not in self.features]
        known = {entry["sequence"] for entry in self.sequences}
        self.sequences += [entry for entry in other.sequences if entry["sequence"] not in known]
        return self

    def plain(self) -> Any:
        """The group as the YAML has it."""
        if not self.sequences:
            return list(self.features)
        return {"features": list(self.features), "sequences": self.sequences}


def union(groups: Iterable[Group]) -> Group:
    """All of several groups, each once."""
    whole = Group()
    for group in groups:
        whole.add(group)
    return whole


def pooled(names: Iterable[str], outputs: Mapping[str, Output]) -> Group:
    """Features as a group, sequences among them averaged."""
    group = Group()
    for name in names:
        sequence = outputs[name].sequence
        entry = {"sequence": sequence, "encoder": {"type": "pooling", "pooling": "mean"}}
        group.add(Group([], [entry]) if sequence else Group([name]))
    return group


def present(
    names: Iterable[str], outputs: Mapping[str, Output], message: Message, report: Report, key: str
) -> list[str]:
    """The names among those that a message lists that are outputs of the features, each once."""
    found = []
    for name in dict.fromkeys(names):
        if name in outputs:
            found.append(name)
        else:
            report.add("lost", message, key, f"'{name}' is no feature that was carried")
    return found


def attended(
    queries: Sequence[str],
    steps: Sequence[str],
    encoder: Mapping[str, Any],
    outputs: Mapping[str, Output],
    message: Message,
    report: Report,
) -> Group:
    """Sequences that are compared with candidates: the i-th query belongs to the i-th column of a step.

    Args:
        queries: Names of the candidates' features, outputs all.
        steps: Names of sequence outputs, of one sequence or several.
        encoder: Config of the encoder.
        outputs: All outputs.
        message: Where the source says so, for the report.
        report: Where to say what is not carried.
    """
    group = Group(list(dict.fromkeys(q for q in queries if not outputs[q].sequence)))
    pairs = dict(zip(steps, queries, strict=False))
    sequences = list(dict.fromkeys(outputs[name].sequence for name in steps))
    if len(sequences) > 1:
        why = f"each of these has an attention of its own here: {', '.join(sequences)}"
        report.add("changed", message, "", why)
    for sequence in sequences:
        children = [o for o in outputs.values() if o.sequence == sequence]
        unused = [child.short for child in children if child.name not in steps]
        if unused:
            why = f"all children of '{sequence}' are read, these too: {', '.join(unused)}"
            report.add("changed", message, "", why)
        query = {c.short: pairs[c.name] for c in children if c.name in pairs and _match(c, outputs[pairs[c.name]])}
        if query or encoder["type"] == "pooling":
            entry = {"sequence": sequence, "encoder": dict(encoder)}
            group.sequences.append(entry | ({"query": query} if query and encoder["type"] != "pooling" else {}))
        else:
            why = f"'{sequence}' has no candidate of its width among the features, so its steps are averaged"
            report.add("changed", message, "", why, "give them equal embedding_dims")
            group.sequences.append({"sequence": sequence, "encoder": {"type": "pooling", "pooling": "mean"}})
    return group


def _match(child: Output, candidate: Output) -> bool:
    """Whether a child of a step can be compared with a candidate."""
    return not candidate.sequence and not child.numeric and not candidate.numeric and child.dim == candidate.dim


def crossable(group: Group, outputs: Mapping[str, Output]) -> str:
    """Why the fields of a group cannot be crossed; "" where they can."""
    sequences = {entry["sequence"] for entry in group.sequences}
    fields = [outputs[name] for name in group.features if name in outputs and not outputs[name].numeric]
    steps = [output for output in outputs.values() if output.sequence in sequences]
    if any(output.numeric for output in steps):
        return "steps that are plain numbers have no field"
    dims = sorted({output.dim or EMBEDDING_DIM for output in [*fields, *steps]})
    if not dims:
        return "there is no field with an embedding"
    return "" if len(dims) == 1 else f"its fields differ in width: {', '.join(map(str, dims))}"


def finish(
    model: dict[str, Any],
    deep: Group,
    wide: Group | None,
    outputs: Mapping[str, Output],
    others: Mapping[str, Group] | None = None,
) -> dict[str, Any]:
    """The model with its groups, the keys in a readable order; `others` are groups beside `deep`."""
    kind = model["type"]
    if kind == "lr":
        deep = first_order_only(deep, outputs)
    groups = {"deep": deep.plain()} if deep.features or deep.sequences else {}
    if kind == "wide_and_deep" and groups:
        chosen = [n for n in (wide or deep).features if n not in outputs or not outputs[n].sequence]
        groups["wide"] = chosen or list(deep.features) or first_order_only(deep, outputs).plain()
    groups |= {name: group.plain() for name, group in (others or {}).items()}
    result: dict[str, Any] = {"type": kind}
    everything = union([deep, *(others or {}).values()])
    sequences = {entry["sequence"] for entry in everything.sequences}
    read = [o for o in outputs.values() if not groups or o.name in everything.features or o.sequence in sequences]
    if kind != "lr" and any(not o.numeric and o.dim is None for o in read):
        result["embedding_dim"] = EMBEDDING_DIM
    result |= {k: v for k, v in model.items() if k not in ("type", "tasks")}
    result |= {"groups": groups} if groups else {}
    return result | ({"tasks": model["tasks"]} if model.get("tasks") else {})


def stand_in(group: Group, outputs: Mapping[str, Output]) -> str:
    """Type of the simplest model that reads all of a group: lr has no use for sequences of numbers."""
    return "lr" if len(first_order_only(group, outputs).sequences) == len(group.sequences) else "din"


def first_order_only(group: Group, outputs: Mapping[str, Output]) -> Group:
    """What a model without embeddings reads of a group: pooled sequences of ids."""
    numeric = {output.sequence for output in outputs.values() if output.numeric}
    pooling = {"type": "pooling", "pooling": "mean"}
    sequences = [
        {"sequence": e["sequence"], "encoder": e["encoder"] if e["encoder"]["type"] == "pooling" else pooling}
        for e in group.sequences
        if e["sequence"] not in numeric
    ]
    return Group(list(group.features), sequences)
