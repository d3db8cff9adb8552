"""Whether settings can be applied: each proposal's alone, and those that are chosen together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from easyrec.check import Built, build
from easyrec.config import Experiment
from easyrec.config.experiment import experiment_of
from easyrec.config.located import located
from easyrec.config.space import unsearched
from easyrec.durable import write_text
from easyrec.errors import ConfigError
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.spots import Spot
from easyrec.tune.search import load_search
from feature_generator.config import Document, override
from feature_generator.fitting.learned import carry

logger = logging.getLogger("easyrec.tune")


def settled(proposal: Proposal, experiment: Experiment, document: Document, spots: Mapping[str, Spot]) -> Proposal:
    """The proposal with its file and line; without settings where these would not pass `easyrec check`.

    Args:
        proposal: As a rule makes it.
        experiment: What it is about.
        document: The whole config, its features file taken in.
        spots: Where features are written.
    """
    file, line = _place(proposal, experiment, spots)
    settings = proposal.settings
    if settings:
        try:
            trial_of(document, settings)
        except ConfigError as error:
            logger.debug("%s: its settings would be refused: %s", proposal.key, error)
            settings = {}
    inside = isinstance(experiment.document.raw.get("features"), str)
    reached = not inside or not any(key.startswith("features") for key in settings)
    return replace(proposal, file=file, line=line, settings=settings, reached=reached)


def trial_of(document: Document, settings: Mapping[str, Any]) -> tuple[Experiment, Built]:
    """The experiment with settings laid over it, its model built as `easyrec check` does.

    Raises:
        ConfigError: What is wrong with it; of a config with spaces, at one of their corners.
    """
    changed = override(document, settings)
    if unsearched(changed):
        first = load_search(changed.raw, given=("train", "valid")).first
        return first, build(first)
    experiment = experiment_of(changed)
    return experiment, build(experiment)


def write_applied(path: Path, experiment: Experiment, document: Document, chosen: Sequence[Proposal]) -> list[Proposal]:
    """Write the config with the settings of proposals, the most severe first; those that were applied.

    A proposal is left out where it has no settings, and where they would not go with those before it.
    """
    laid: dict[str, Any] = {}
    applied = []
    for proposal in chosen:
        if not proposal.settings or any(laid.get(key, value) != value for key, value in proposal.settings.items()):
            continue
        try:
            trial_of(document, {**laid, **proposal.settings})
        except ConfigError as error:
            logger.warning("%s does not go with what was applied before it: %s", proposal.key, error)
            continue
        laid |= proposal.settings
        applied.append(proposal)
    changed = override(document, {"name": experiment.name, **laid})
    told = "".join(f"# {proposal.key}: {' '.join(proposal.overrides)}\n" for proposal in applied)
    features = located(changed.raw["features"], experiment.generator.features, experiment.features.file)
    text = yaml.safe_dump({**changed.raw, "features": features}, sort_keys=False, allow_unicode=True, width=120)
    write_text(path, told + text)
    carry(experiment.features, path)
    return applied


def _place(proposal: Proposal, experiment: Experiment, spots: Mapping[str, Spot]) -> tuple[str, int]:
    """File and line of the place of a proposal, or of what is around it."""
    for spot in spots.values():
        if proposal.where == spot.prefix or proposal.where.startswith(f"{spot.prefix}."):
            rest = proposal.where[len(spot.prefix) + 1 :]
            return experiment.features.place((*spot.path, *rest.split(".")) if rest else spot.path)
    return experiment.document.place(tuple(proposal.where.split(".")))
