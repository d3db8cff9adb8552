"""`best.yaml`: the config with the features that were accepted, as ordinary ones."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from easyrec.config import Experiment
from easyrec.config.experiment import experiment_of
from easyrec.tune.cross.proposal import Proposal
from feature_generator.config import Document


def applied(experiment: Experiment, proposals: Sequence[Proposal]) -> Experiment:
    """The experiment with the features of some proposals.

    Raises:
        ConfigError: The model cannot take one.
    """
    raw = copy.deepcopy({**experiment.document.raw, **experiment.features.raw})
    raw = {**raw, "name": f"{experiment.name}_crossed"}
    raw.pop("cross", None)
    raw.pop("base", None)
    places = {feature["name"]: index for index, feature in enumerate(raw["features"]) if "name" in feature}
    for proposal in proposals:
        for feature in proposal.features:
            if feature["name"] in places:  # changed, or a helper that several read
                raw["features"][places[feature["name"]]] = copy.deepcopy(feature)
            else:
                places[feature["name"]] = len(raw["features"])
                raw["features"].append(copy.deepcopy(feature))
        _grouped(raw, experiment, proposal)
    return experiment_of(Document.of(raw, experiment.features.file or experiment.document.file))


def _grouped(raw: dict[str, Any], experiment: Experiment, proposal: Proposal) -> None:
    """Put a proposal's feature where the model reads it: in the groups that hold all of what it is made of."""
    groups = raw.get("model", {}).get("groups")
    name = proposal.features[-1]["name"] if proposal.features else ""
    if not groups or not name or any(name in _features(group) for group in groups.values()):
        return
    behind = {spec.name for spec in experiment.generator.outputs.values()}
    read = {column for column in proposal.reads if column in behind}
    fitting = [key for key, group in groups.items() if read <= set(_features(group))]
    for key in fitting or [_fallback(groups)]:
        _features(groups[key]).append(name)


def _fallback(groups: Mapping[str, Any]) -> str:
    """The group of a feature whose columns no group holds together."""
    return next((key for key in ("wide", "deep") if key in groups), next(iter(groups)))


def _features(group: Any) -> list[str]:
    """The features of a group, which is a list of them or has one."""
    found: list[str] = group if isinstance(group, list) else group.setdefault("features", [])
    return found
