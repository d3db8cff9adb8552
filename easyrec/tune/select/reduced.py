"""The config without some features, and which of those can be taken out at all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from easyrec.check import build
from easyrec.config import Experiment
from easyrec.config.experiment import experiment_of
from easyrec.embedding.plan import plan_embeddings
from easyrec.errors import ConfigError
from easyrec.tune.select.units import Units
from feature_generator.config import Document, override


@dataclass
class Reduction:
    """A config, and what is taken out of it so that the rest is still valid.

    Attributes:
        document: The config with all features.
        units: Its features.
        removed: Names of the units that are out, each with why.
        kept: Names of units that were to go and cannot, each with why.
    """

    document: Document
    units: Units
    removed: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        experiment = experiment_of(self.document)
        plan = plan_embeddings(experiment.generator.outputs, experiment.model)
        self._compared = [
            (child.name, candidate, sequence.name)
            for layout in plan.layouts.values()
            for sequence in layout.sequences
            for child, candidate in zip(sequence.children, sequence.query, strict=True)
            if candidate is not None
        ]

    def experiment(self, removed: Collection[str] | None = None, more: Mapping[str, Any] | None = None) -> Experiment:
        """The experiment without some units.

        Args:
            removed: Names of units; None: those that are out.
            more: Settings that are laid over it.

        Raises:
            ConfigError: It is not valid.
        """
        features = self.units.all_of(self.removed if removed is None else removed)
        document = without(self.document, features)
        return experiment_of(override(document, more) if more else document)

    def take_out(self, units: Sequence[str], reasons: Mapping[str, str]) -> list[str]:
        """Take units out, those that come first before others; what cannot go is kept, with the reason.

        Returns:
            Those that are out now.
        """
        done: list[str] = []
        left = [list(units)] if units else []
        while left:
            part = left.pop()
            why = self.obstacle([*self.removed, *part])
            if why is None:
                done += part
                self.removed |= {unit: reasons[unit] for unit in part}
            elif len(part) == 1:
                self.kept[part[0]] = f"needed: {why}"
            else:
                half = (len(part) + 1) // 2
                left += [part[half:], part[:half]]
        return done

    def obstacle(self, removed: Collection[str]) -> str | None:
        """Why these cannot all be out; None: they can."""
        gone = set(self.units.all_of(removed))
        for child, candidate, sequence in self._compared:
            if candidate in gone and child not in gone:
                return f"'{sequence}' is compared with '{candidate}', the candidate of '{child}'"
        if len(gone) == sum(map(len, self.units.features.values())):
            return "it is the last feature"
        try:
            build(self.experiment(removed))
        except ConfigError as error:
            problem = error.problems[0]
            where = f"{problem.where}: " if problem.where else ""
            return f"{where}{problem.message.splitlines()[0].removesuffix(', e.g.')}"
        return None


def without(document: Document, features: Collection[str]) -> Document:
    """The config without some features, and without what names them in groups; what others read stays as an intermediate."""
    gone, raw = set(features), dict(document.raw)
    read = _read_by_others(raw["features"], gone)
    left, whole = [], set[str]()
    for one in raw["features"]:
        name = str(one.get("name"))
        if one.get("type") == "sequence":
            children = list(_left(one["features"], gone, read, f"{name}__"))
            if any(not child.get("stub_type") for child in children):
                left.append({**one, "features": children})
            else:
                whole.add(name)
        else:
            left += _left([one], gone, read, "")
            whole |= {name} & gone
    raw["features"] = left
    groups = raw.get("model", {}).get("groups")
    if isinstance(groups, Mapping):
        raw["model"] = {**raw["model"], "groups": {k: _group(group, gone, whole) for k, group in groups.items()}}
    raw.pop("select", None)
    return override(Document(None, raw, {(): document.place(())}, document.file), ())


def _left(listed: Sequence[Mapping[str, Any]], gone: set[str], read: set[str], prefix: str) -> Iterator[dict[str, Any]]:
    for one in listed:
        name = f"{prefix}{one.get('name')}"
        if name not in gone:
            yield dict(one)
        elif name in read:
            yield {**one, "stub_type": True}


def _read_by_others(listed: Sequence[Mapping[str, Any]], gone: set[str]) -> set[str]:
    """Names of features that go and that features which stay read, or features that these read."""
    texts: dict[str, list[str]] = {}
    for one in listed:
        prefix = f"{one.get('name')}__" if one.get("type") == "sequence" else ""
        for child in one["features"] if prefix else [one]:
            inputs = [f"{prefix}{name}" for name in _inputs(child)] + _inputs(child)
            texts[f"{prefix}{child.get('name')}"] = inputs
    needed = {name for reader, inputs in texts.items() if reader not in gone for name in inputs} & gone
    while more := {name for reader in needed for name in texts.get(reader, ())} & gone - needed:
        needed |= more
    return needed


def _inputs(value: Any) -> list[str]:
    """Names in texts such as `feature:age`, wherever a feature's config has them."""
    if isinstance(value, str):
        return [value.partition(":")[2]] if value.startswith("feature:") else []
    if isinstance(value, Mapping):
        value = list(value.values())
    return [name for one in value for name in _inputs(one)] if isinstance(value, list) else []


def _group(group: Any, gone: set[str], whole: set[str]) -> Any:
    """A group of the model without what is gone; `whole` are sequences of which nothing is left."""
    if isinstance(group, list):
        return [name for name in group if name not in gone]
    if not isinstance(group, Mapping):
        return group
    found = dict(group)
    if isinstance(found.get("features"), list):
        found["features"] = [name for name in found["features"] if name not in gone]
    if isinstance(found.get("sequences"), list):
        found["sequences"] = [_entry(entry, gone) for entry in found["sequences"] if _named(entry) not in whole]
    return found


def _named(entry: Any) -> Any:
    return entry.get("sequence") if isinstance(entry, Mapping) else entry


def _entry(entry: Any, gone: set[str]) -> Any:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("query"), Mapping):
        return entry
    sequence = entry.get("sequence")
    query = {
        child: candidate
        for child, candidate in entry["query"].items()
        if child not in gone and f"{sequence}__{child}" not in gone and candidate not in gone
    }
    return {**entry, "query": query} if query else {key: value for key, value in entry.items() if key != "query"}
