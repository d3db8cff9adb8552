"""`Study`: a selection in its folder, which goes on where it was interrupted: what has been measured is not measured anew."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from easyrec.config import Experiment
from easyrec.config.experiment import experiment_of
from easyrec.config.select import SelectConfig
from easyrec.durable import write_text
from easyrec.tune.select.alike import Pairs, alike, tellers
from easyrec.tune.select.copies import FOLDER, choose, with_copies, write_parts
from easyrec.tune.select.costs import Costs, costs_of
from easyrec.tune.select.decide import Decision, joint_of
from easyrec.tune.select.dims import Dims, proposed
from easyrec.tune.select.measured import Measured
from easyrec.tune.select.methods import Task, build
from easyrec.tune.select.null import Null
from easyrec.tune.select.reduced import Reduction, without
from easyrec.tune.select.second_look import decide, doubted
from easyrec.tune.select.trained import trained
from easyrec.tune.select.units import units_of
from feature_generator.config import Document, member, override

logger = logging.getLogger("easyrec.tune")

MEASURED = "measured"
TRAININGS = "trainings"
COPIES = 30
"""Shuffled copies of a second look at most."""


class Study:
    """A selection.

    Args:
        document: The config.
        folder: Its folder, with the config in it.
        data: Rows by part that stand in for the config's.
    """

    def __init__(self, document: Document, folder: Path, data: Mapping[str, Any] | None) -> None:
        self.document, self.folder, self.data = document, folder, data
        self.experiment = experiment_of(document)
        self.config = self.experiment.sections.select or SelectConfig()
        self.units = units_of(self.experiment, self.config)
        self.measured: list[Measured] = []
        self.decision: Decision | None = None
        self.again: Measured | None = None
        self.bounds_again: dict[str, float] = {}
        self.dims: Dims | None = None
        self.verified: dict[str, dict[str, float]] = {}

    def run(self, told: Callable[[], None]) -> None:
        """Measure, decide, and verify.

        Args:
            told: Called when more is known.
        """
        for number, method in enumerate(self.config.methods):
            self.measured.append(self._measured(method.type, method))
            if not number:
                self._decide()
                told()
                self._look_again(method)
                if self.config.budget.auc_drop is None:
                    self._decided.within_budget(self._drop)
            told()
        if self.config.budget.auc_drop is not None:
            self._decided.within_budget(self._drop)
            told()
        if self.config.embedding_dims != "keep":
            method = member("easyrec.tune.select.methods", "gates").Config(per="dim")
            numbers = self._measured("gates of single numbers", method).numbers
            self.dims = proposed(self._decided.reduction, self.units, numbers, self.copies)
            told()
        if self.config.verify:
            self.verified["all features"] = self._trained([])
            self.verified["selected"] = self._trained(list(self._decided.reduction.removed))

    # ------------------------------------------------------------------------------------- the parts

    @cached_property
    def _copies(self) -> tuple[Document, dict[str, str]]:
        """The config with shuffled copies, and which feature each is of."""
        return with_copies(
            self.document, self.experiment, choose(self.experiment, self.units, self.config.noise.copies)
        )

    @property
    def copies(self) -> dict[str, str]:
        """Shuffled copies, and which feature each is of."""
        return self._copies[1]

    @cached_property
    def _sizes(self) -> dict[str, float]:
        """Logarithm of the number of ids, by unit, by copy, and by name of what is measured together."""
        outputs = self.experiment.generator.outputs
        found = {
            unit: max(math.log(outputs[feature].num_embeddings or 1) for feature in features)
            for unit, features in self.units.features.items()
        }
        owner = self.units.owner
        found |= {copy: math.log(outputs[feature].num_embeddings or 1) for copy, feature in self.copies.items()}
        return found | {
            name: max(found[owner.get(unit, unit)] for unit in units) for name, units in self._joint.items()
        }

    def null(self, measured: Measured) -> Null | None:
        """What noise may seem to be worth by a method; None without copies."""
        return measured.null(self.copies, self._sizes, self.config.noise.quantile)

    def bounds(self, measured: Measured) -> dict[str, float]:
        """What features, and what is measured together, must be worth more than by a method; empty without copies."""
        null = self.null(measured)
        return (
            {}
            if null is None
            else {name: null.bound(self._sizes[name]) for name in [*self.units.features, *self._joint]}
        )

    @cached_property
    def _joint(self) -> dict[str, list[str]]:
        """Units that are measured together too, by a name."""
        return joint_of(self.units.features, self.pairs, self.units.sequences)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What lets a config read the files of features."""
        made = write_parts(self.experiment, self.folder, self.copies, self.data)
        return {**made, "train.log_every": 1_000_000, "eval.calibration": None, "eval.slices": []}

    @cached_property
    def rows(self) -> int:
        """Rows of `train`, those of `valid` with it where one source is split."""
        _ = self.settings
        return int(pq.ParquetFile(self.folder / FOLDER / "train.parquet").metadata.num_rows)

    @cached_property
    def pairs(self) -> Pairs:
        """Features that tell each other."""
        if self.config.redundant is None:
            return {}
        _ = self.settings
        least = self.config.redundant

        def measure() -> Any:
            found = alike(self.folder / FOLDER / "train.parquet", self.units.features, least)
            return [[a, b, value] for (a, b), value in found.items()]

        told = self._once("alike", [least, self.units.features], measure)
        return {(a, b): value for a, b, value in told}

    @cached_property
    def costs(self) -> Costs:
        """What features cost."""

        def measure() -> Any:
            read = experiment_of(override(self.document, self.settings))
            return asdict(costs_of(self.experiment, read, self.units, self.data))

        return Costs(**self._once("costs", [self.units.features, self.experiment.export.request.items], measure))

    @property
    def _decided(self) -> Decision:
        assert self.decision is not None
        return self.decision

    def _measured(
        self, name: str, method: Any, removed: Sequence[str] = (), copies: Sequence[str] | None = None
    ) -> Measured:
        """What a method says, without some units, and with some of the copies."""
        copies = list(self.copies) if copies is None else copies
        left = {unit: features for unit, features in self.units.features.items() if unit not in removed}
        units = {**left, **{copy: (copy,) for copy in copies}}
        joint = {name: parts for name, parts in self._joint.items() if left.keys() >= set(parts)}
        folder = self.folder / TRAININGS / name.replace(" ", "_")
        steps = max(self.rows // self.experiment.data.batch_size, 1)
        document = self._copies[0]
        out = [*self.units.all_of(removed), *(copy for copy in self.copies if copy not in copies)]
        document = without(document, out) if out else document

        def experiment(more: Mapping[str, Any]) -> Experiment:
            return experiment_of(override(document, {"name": self.experiment.name, **self.settings, **more}))

        def measure() -> Any:
            logger.info("measuring by '%s'", method.type)
            task = Task(experiment, folder, units, joint, self.config.rows, steps, copies)
            return build(method, task).measure().to_json()

        key = [method.model_dump(mode="json"), units, joint, self.config.rows]
        return Measured.of_json(self._once(name.replace(" ", "_"), key, measure))

    def _decide(self) -> None:
        first = self.measured[0]
        reduction = Reduction(self.document, self.units)
        self.decision = Decision(self.config, reduction, first, self.bounds(first), self.pairs, self.costs)
        self.decision.without_noise()

    def _look_again(self, method: Any) -> None:
        """Measure what seems to be noise once more, see `SecondLook`."""
        decision, null = self._decided, self.null(self.measured[0])
        if not self.config.second_look or null is None or not decision.noise:
            return
        look = doubted(decision, null, self._sizes, self._tellers)
        if not look.asked:
            return
        removed = look.removed(decision)
        thinned = list(self.copies)[:: max(-(-len(self.copies) // COPIES), 1)]
        logger.info("a second look at %s", ", ".join(look.asked))
        again = self._measured(f"{method.type} again", method, removed, thinned)
        null = again.null(thinned, self._sizes, self.config.noise.quantile)
        assert null is not None
        self.again = again
        self.bounds_again = {u: null.bound(self._sizes[u]) for u in self.units.features if u in again.importance}
        decide(decision, look, again, self.bounds_again)

    def _tellers(self, units: list[str]) -> dict[str, list[str]]:
        """What tells units, of what is in."""
        if self.config.redundant is None:
            return {}
        least, among = self.config.redundant, self._decided.left

        def measure() -> Any:
            return tellers(self.folder / FOLDER / "train.parquet", self.units.features, units, among, least)

        found: dict[str, list[str]] = self._once("tellers", [least, self.units.features, units, among], measure)
        return found

    def _drop(self, units: Sequence[str]) -> float:
        """How much worse the metric is after a training without units, beside those that are out."""
        assert self.decision is not None
        tried = deepcopy(self.decision.reduction)
        tried.take_out(units, dict.fromkeys(units, ""))
        watched = self.experiment.watched
        assert watched is not None
        before, after = self._trained([])[watched.key], self._trained(list(tried.removed))[watched.key]
        return before - after if watched.higher_is_better else after - before

    def _trained(self, removed: Sequence[str]) -> dict[str, float]:
        """The metrics of `valid` after a training without units."""
        features = sorted(self.units.all_of(removed))
        digest = hashlib.sha256(json.dumps(features).encode()).hexdigest()[:12]
        assert self.decision is not None
        experiment = self.decision.reduction.experiment(removed, {"name": self.experiment.name, **self.settings})
        folder = self.folder / TRAININGS / f"without_{digest}" if features else self._whole
        if not (folder / "metrics.json").is_file():
            number = len(self.units.features)
            logger.info("training with %d of %d features", number - len(removed), number)
        run = trained(experiment, folder)
        return {**run.metrics["valid"], "seconds": run.metrics["seconds"]}

    @property
    def _whole(self) -> Path:
        return self.folder / TRAININGS / "all"

    def _once(self, name: str, key: Any, measure: Callable[[], Any]) -> Any:
        """What was measured under the same key, or is now."""
        file, key = self.folder / MEASURED / f"{name}.json", json.loads(json.dumps(key))
        if file.is_file():
            found = json.loads(file.read_text(encoding="utf-8"))
            if found["key"] == key:
                return found["value"]
        value = json.loads(json.dumps(measure()))
        write_text(file, json.dumps({"key": key, "value": value}, indent=1, ensure_ascii=False) + "\n")
        return value
