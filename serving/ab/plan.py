"""Experiments laid out for requests: the running ones, by bucket."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from feature_generator.expressions import compile_expression, evaluate
from feature_generator.expressions.program import Program
from serving.ab.buckets import BUCKETS, hash_one, prefix
from serving.ab.config import Domain, Experiment, ExperimentsConfig, Layer, rooms, variables

HALF = 2**32
"""The two halves of an experiment's hash: the lower one says who takes part, the upper one which variant it is."""
KEPT = 4096
"""Sets of variants whose parameters are kept."""


@dataclass(frozen=True)
class Arm:
    """A variant.

    Attributes:
        name: `experiment/variant`.
        entry: `layer=experiment/variant`.
        parameters: Its values by dotted path.
    """

    name: str
    entry: str
    parameters: Mapping[str, Any]


class Running:
    """An experiment that units take part in."""

    def __init__(self, config: Experiment, layer: Layer, salt: str) -> None:
        self.config, self.layer = config, layer.name
        self.salt = prefix(salt, "experiment", config.salt or config.name)
        self.scenes = config.scenes
        self.start, self.end = config.start, config.end
        self.timed = config.start is not None or config.end is not None
        self.allowed = {name: _allowed(value) for name, value in config.where.items()}
        self.program: Program | None = None
        if config.when is not None:
            self.program = compile_expression(config.when, variables(config.when))
        self.conditional = bool(self.allowed) or self.program is not None
        self.limit = round(config.ramp * BUCKETS)
        total, share = 0.0, []
        for weight in config.weights:
            total += weight
            share.append(total)
        self.edges = [round(one * BUCKETS) for one in share[:-1]]
        self.arms = [
            Arm(f"{config.name}/{v.name}", f"{layer.name}={config.name}/{v.name}", dict(v.parameters))
            for v in config.variants
        ]

    def arm_of(self, unit: bytes) -> Arm | None:
        """The variant of a unit in its room; None beyond the ramp."""
        drawn = hash_one(self.salt, unit)
        if drawn % HALF % BUCKETS >= self.limit:
            return None
        return self.arms[bisect.bisect_right(self.edges, (drawn >> 32) % BUCKETS)]

    def takes(self, attributes: Mapping[str, Any]) -> bool:
        """Whether a unit's attributes are those of units that take part."""
        for name, allowed in self.allowed.items():
            value = attributes.get(name)
            if isinstance(value, list | tuple):
                if not any(_plain(one) in allowed for one in value):
                    return False
            elif value is None or _plain(value) not in allowed:
                return False
        if self.program is None:
            return True
        read = [_number(attributes.get(name)) for name in self.program.names]
        result = evaluate(self.program, read)
        return bool(result) and result[0] != 0.0  # type: ignore[index]


class Place:
    """A layer: who is in which of its experiments."""

    def __init__(self, layer: Layer, salt: str, stopped: frozenset[str]) -> None:
        self.name = layer.name
        self.salt = prefix(salt, "layer", layer.name)
        self.slots: list[Running | None] = [None] * BUCKETS
        self.experiments: list[Running] = []
        self.forced: dict[str, tuple[Running, Arm]] = {}
        for (first, end), config in zip(rooms(layer.experiments), layer.experiments, strict=True):
            if config.state == "stopped" or config.name in stopped:
                continue
            running = Running(config, layer, salt)
            self.experiments.append(running)
            self.slots[first:end] = [running] * (end - first)
            for variant, arm in zip(config.variants, running.arms, strict=True):
                self.forced.update(dict.fromkeys(variant.white_list, (running, arm)))


class Part:
    """A domain."""

    def __init__(self, domain: Domain, salt: str, stopped: frozenset[str]) -> None:
        self.name = domain.name
        self.layers = [place for place in (Place(layer, salt, stopped) for layer in domain.layers) if place.experiments]
        self.listed = {unit for place in self.layers for unit in place.forced}


class Plan:
    """All domains."""

    def __init__(self, config: ExperimentsConfig, stopped: frozenset[str]) -> None:
        domains = config.all_domains
        self.stopped = stopped
        self.salt = prefix(config.salt, "domains", "")
        self.parts = [Part(domain, config.salt, stopped) for domain in domains]
        self.slots: list[Part | None] = [None] * BUCKETS
        for (first, end), part in zip(rooms(domains), self.parts, strict=True):
            self.slots[first:end] = [part] * (end - first)
        self.only = self.parts[0] if all(slot is self.parts[0] for slot in self.slots) else None
        self.listed = {unit: part for part in self.parts for unit in part.listed}
        self.merged: dict[tuple[str, ...], tuple[Mapping[str, str], Mapping[str, Any]]] = {}


def _allowed(value: Any) -> frozenset[str]:
    return frozenset(_plain(one) for one in (value if isinstance(value, list) else [value]))


def _plain(value: Any) -> str:
    """A value as text, alike whether it came as a number or as its text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number(value: Any) -> list[float]:
    """A value as an expression takes it: none where it is no number."""
    try:
        return [] if value is None else [float(value)]
    except (TypeError, ValueError, OverflowError):
        return []
