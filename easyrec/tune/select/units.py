"""`Units`: what is selected, a feature each, or the features that a person has grouped."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from easyrec.config import Experiment
from easyrec.config.select import SelectConfig
from easyrec.embedding.plan import plan_embeddings
from easyrec.embedding.spec import EmbeddingPlan
from easyrec.errors import Problem, nearest

SEQUENCES = ("sparse_sequence", "dense_sequence")


@dataclass(frozen=True)
class Units:
    """The features that a model reads.

    Attributes:
        features: By the name of the unit; a feature by itself is called as it is, a child of a sequence `click_seq__cate`.
        unread: Features that no group of the model reads.
        sequences: Names of the children of each sequence that has several.
    """

    features: Mapping[str, tuple[str, ...]]
    unread: tuple[str, ...] = ()
    sequences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def owner(self) -> dict[str, str]:
        """The unit of each feature."""
        return {feature: unit for unit, features in self.features.items() for feature in features}

    def all_of(self, units: Collection[str]) -> list[str]:
        """The features of some units."""
        return [feature for unit in self.features if unit in units for feature in self.features[unit]]


def units_of(experiment: Experiment, config: SelectConfig) -> Units:
    """The units of an experiment whose `select` section names no feature wrongly, see `misnamed`."""
    read = read_features(plan_embeddings(experiment.generator.outputs, experiment.model))
    owner = {feature: name for name, features in config.groups.items() for feature in features}
    features: dict[str, tuple[str, ...]] = {}
    for name in experiment.generator.outputs:
        if name in read:
            unit = owner.get(name, name)
            features[unit] = (*features.get(unit, ()), name)
    sequences: dict[str, tuple[str, ...]] = {}
    for name, spec in experiment.generator.outputs.items():
        if spec.kind in SEQUENCES and name in read:
            sequence = spec.sequence or name
            sequences[sequence] = (*sequences.get(sequence, ()), name)
    several = {name: children for name, children in sequences.items() if len(children) > 1}
    return Units(features, tuple(n for n in experiment.generator.outputs if n not in read), several)


def read_features(plan: EmbeddingPlan) -> set[str]:
    """The features that a model reads."""
    return {feature for group in plan.groups.values() for feature in group.features}


def misnamed(experiment: Experiment, config: SelectConfig) -> Iterator[Problem]:
    """Names of the `select` section that are no feature which the model reads, and features that are in two groups."""
    read = read_features(plan_embeddings(experiment.generator.outputs, experiment.model))
    known, owner = sorted(read), dict[str, str]()
    for place, name in [
        *((f"select.keep.{i}", name) for i, name in enumerate(config.keep)),
        *((f"select.groups.{group}.{i}", n) for group, names in config.groups.items() for i, n in enumerate(names)),
    ]:
        if name not in read:
            yield Problem(f"the model reads no feature '{name}'{nearest(name, known)}", place)
    for group, names in config.groups.items():
        if group in read and group not in names:
            yield Problem(f"a feature is called '{group}': give the group another name", f"select.groups.{group}")
        for i, name in enumerate(names):
            if name in owner:
                text = f"'{name}' is in the group '{owner[name]}' already"
                yield Problem(text, f"select.groups.{group}.{i}")
            owner[name] = group
