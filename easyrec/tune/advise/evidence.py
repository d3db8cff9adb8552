"""`Evidence`: all that rules look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from easyrec.check import Built
from easyrec.config import Experiment
from easyrec.config.model import TaskConfig
from easyrec.config.statistic import StatisticConfig
from easyrec.embedding.plan import TableSpec
from easyrec.tune.advise.history import History
from easyrec.tune.advise.searched import Searched
from easyrec.tune.advise.seen import Seen
from easyrec.tune.advise.spots import Spot, spots, without
from feature_generator import OutputSpec


@dataclass(frozen=True)
class Evidence:
    """What is known.

    Attributes:
        experiment: The experiment; of a config with spaces that of each space's first value.
        built: Its model.
        written: The whole config, with its spaces.
        parts: Samples of `train` and `valid`.
        profile: Where the time of steps goes, as `profile.json` tells it.
        history: What a run has measured.
        searched: What a search has found.
    """

    experiment: Experiment
    built: Built
    written: Mapping[str, Any]
    parts: Mapping[str, Seen] = field(default_factory=dict)
    profile: Mapping[str, Any] | None = None
    history: History | None = None
    searched: Searched | None = None

    @property
    def train(self) -> Seen:
        """The sample of `train`."""
        return self.parts["train"]

    @property
    def valid(self) -> Seen | None:
        """The sample of `valid`."""
        return self.parts.get("valid")

    @cached_property
    def spots(self) -> dict[str, Spot]:
        """Where each feature is written."""
        return spots(self.experiment)

    @cached_property
    def used(self) -> dict[str, OutputSpec]:
        """The features that the model reads."""
        outputs = self.experiment.generator.outputs
        if isinstance(self.experiment.model, StatisticConfig):
            return dict(outputs)
        read = {name for group in self.built.plan.groups.values() for name in group.features}
        return {name: spec for name, spec in outputs.items() if name in read}

    @property
    def task(self) -> TaskConfig | None:
        """The first binary task whose label every row has a say in."""
        return next((t for t in self.experiment.tasks if t.type == "binary" and t.rows is None), None)

    def together(self, output: str) -> list[str]:
        """The features that share a table with one, itself among them."""
        outputs = self.experiment.generator.outputs
        return [name for name, spec in outputs.items() if spec.embedding_name == outputs[output].embedding_name]

    def on_all(self, output: str, key: str, value: Any) -> dict[str, Any]:
        """Settings of a key of all features that share a table with one."""
        return {self.spots[name].key(key): value for name in self.together(output)}

    def without(self, output: str) -> dict[str, Any]:
        """Settings that leave a feature out."""
        return without(self.experiment, self.spots, output)

    def table(self, output: str) -> TableSpec | None:
        """The table that a feature looks up in."""
        name = self.experiment.generator.outputs[output].embedding_name
        return next((t for t in self.built.plan.tables if t.name == name), None)
