"""Groups of features and sequences, and the model that reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from easyrec.convert.message import Message
from easyrec.convert.outputs import Output
from easyrec.convert.report import Report

EMBEDDING_DIM = 16
"""Width of embeddings whose feature names none."""

_ALONE = ("pooling", "self_attention")
"""Encoders that compare steps with no candidate."""


@dataclass
class Group:
    """What a model reads together: names of features, and entries of sequences."""

    features: list[str] = field(default_factory=list)
    sequences: list[dict[str, Any]] = field(default_factory=list)

    def add(self, other: Group) -> Group:
        """Take over what another group has beyond this one."""
        self.features += [name for name in other.features if name not in self.features]
        for entry in other.sequences:
            if not any(_unnamed(entry) == _unnamed(known) for known in self.sequences):
                taken = {known.get("name", known["sequence"]) for known in self.sequences}
                names = (entry["sequence"] if n == 1 else f"{entry['sequence']}_{n}" for n in count(1))
                name = next(name for name in names if name not in taken)
                plain = _unnamed(entry)
                self.sequences.append(plain if name == entry["sequence"] else {**plain, "name": name})
        return self

    def plain(self) -> Any:
        """The group as the YAML has it."""
        if not self.sequences:
            return list(self.features)
        return {"features": list(self.features), "sequences": self.sequences}


def _unnamed(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A sequence's entry without what it is called in its group."""
    return {key: value for key, value in entry.items() if key != "name"}


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
    newest: int = 0,
) -> Group:
    """Sequences that are compared with candidates: the i-th query belongs to the i-th column of a step.

    Args:
        queries: Names of the candidates' features, outputs all.
        steps: Names of sequence outputs, of one sequence or several.
        encoder: Config of the encoder.
        outputs: All outputs.
        message: Where the source says so, for the report.
        report: Where to say what is not carried.
        newest: How many steps are read at most; 0: all.
    """
    cut = {"newest": newest} if newest else {}
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
        if query or encoder["type"] in _ALONE:
            entry = {"sequence": sequence, "encoder": dict(encoder), **cut}
            group.sequences.append(entry | ({"query": query} if query and encoder["type"] not in _ALONE else {}))
        else:
            why = f"'{sequence}' has no candidate of its width among the features, so its steps are averaged"
            report.add("changed", message, "", why, "give them equal embedding_dims")
            group.sequences.append({"sequence": sequence, "encoder": {"type": "pooling", "pooling": "mean"}, **cut})
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


def finish(model: dict[str, Any], deep: Group, wide: Group | None, outputs: Mapping[str, Output]) -> dict[str, Any]:
    """The model over the group `deep`, of `wide_and_deep` also over `wide`."""
    if model["type"] == "lr":
        deep = first_order_only(deep, outputs)
    groups = {"deep": deep}
    if model["type"] == "wide_and_deep" and (deep.features or deep.sequences):
        chosen = [n for n in (wide or deep).features if n not in outputs or not outputs[n].sequence]
        names = chosen or list(deep.features)
        groups["wide"] = Group(names) if names else first_order_only(deep, outputs)
    return over(model, groups, outputs)


def over(model: dict[str, Any], groups: Mapping[str, Group], outputs: Mapping[str, Output]) -> dict[str, Any]:
    """The model with its groups, the keys in a readable order."""
    kind = model["type"]
    plain = {name: group.plain() for name, group in groups.items() if group.features or group.sequences}
    whole = union(group for name, group in groups.items() if (kind, name) != ("wide_and_deep", "wide"))
    result: dict[str, Any] = {"type": kind}
    sequences = {entry["sequence"] for entry in whole.sequences}
    read = [o for o in outputs.values() if not plain or o.name in whole.features or o.sequence in sequences]
    if kind != "lr" and any(not o.numeric and o.dim is None for o in read):
        result["embedding_dim"] = EMBEDDING_DIM
    result |= {k: v for k, v in model.items() if k not in ("type", "tasks")}
    result |= {"groups": plain} if plain else {}
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
