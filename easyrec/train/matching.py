"""Training and evaluation of models that compare users with the items of a catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from easyrec.batch import Batch
from easyrec.config import Experiment
from easyrec.data import Loader, Part, Source, make_loader
from easyrec.data.catalogue import read_catalogue, rows_of
from easyrec.data.matching import Matcher, own_items
from easyrec.data.samplers import build as build_sampler
from easyrec.embedding.spec import EmbeddingPlan
from easyrec.errors import ConfigError, Problem
from easyrec.losses import sampled
from easyrec.losses.sampled.softmax import Config as Softmax
from easyrec.retrieval import metrics
from easyrec.retrieval.ranking import Users, measure
from easyrec.train.scorer import Scorer

ITEMS = 8192
"""Items whose vectors are made at once."""


class Matching:
    """The catalogue of an experiment, and what its users are compared with.

    Args:
        experiment: What is trained.
        plan: Its groups.
        items: Source of the catalogue.
        train: The rows that are learned.
    """

    def __init__(self, experiment: Experiment, plan: EmbeddingPlan, items: Source, train: Part) -> None:
        self.experiment, model = experiment, experiment.model
        self.item_groups = model.item_groups
        self.user_groups = [name for name in plan.groups if name not in self.item_groups]
        of_items = {f for name in self.item_groups for f in plan.groups[name].features}
        self.of_users = {f for name in self.user_groups for f in plan.groups[name].features}
        self.key = experiment.data.item_id
        self.catalogue = read_catalogue(items, experiment.generator, of_items, self.key)
        self.sequence = _next_child(experiment, plan) if model.next_item else None
        assert experiment.eval.retrieval is not None
        self.measured = experiment.eval.retrieval
        self.counts = np.ones(len(self.catalogue))
        sampler = experiment.data.sampler
        assert sampler is not None
        if sampler.counted or any(metric.counted for metric in self.measured.metrics):
            self.counts = self._count(train)
        drawn = build_sampler(sampler, self.counts)
        self.matcher = Matcher(self.catalogue, drawn, self.sequence, experiment.train.seed)
        loss = getattr(model, "loss", None) or Softmax()
        self.loss = sampled.build(loss, len(self.catalogue))

    def _count(self, train: Part) -> np.ndarray:
        """(N,), how often each item is learned."""
        counts = np.zeros(len(self.catalogue))
        generator = self.experiment.generator.only([self.sequence or self.key])
        for rows in rows_of(train, generator):
            own, _ = own_items(rows.table, self.catalogue, self.sequence)
            counts += np.bincount(own, minlength=len(counts))
        return counts

    def loader(self, part: Part, *, training: bool) -> Loader:
        """The rows of a part: users, and while not training the items that they want."""
        names = set(self.of_users)
        if not (training and self.sequence):
            names.add(self.key)
        if not training and self.measured.exclude is not None:
            names.add(self.measured.exclude)
        generator = self.experiment.generator.only(names)
        matcher = self.matcher if training else None
        return make_loader(self.experiment, part, generator, training=training, labels=False, matcher=matcher)

    def objective(self, logits: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """The loss, by the name of the task."""
        assert batch.matches is not None
        weights = batch.sample_weight
        weights = None if weights is None else weights.index_select(0, batch.matches.rows)
        return {self.experiment.tasks[0].name: self.loss(logits["logit"], batch.matches.columns, weights)}

    # ------------------------------------------------------------------------------------------- evaluation

    def items(self, scorer: Scorer) -> Tensor:
        """(N, D) float32, the vectors of all items."""
        starts = range(0, len(self.catalogue), ITEMS)
        parts = [
            Batch.of(self.catalogue.table.slice(s, min(s + ITEMS, len(self.catalogue))), outputs=self.catalogue.outputs)
            for s in starts
        ]
        return torch.cat([scorer.vectors(part, "item", self.item_groups) for part in parts])

    def measure(self, scorer: Scorer, loader: Loader, heed: Callable[[], None]) -> dict[str, float]:
        """All retrieval metrics of a part.

        Args:
            scorer: The model.
            loader: The part.
            heed: Called for every batch.
        """
        built = [metrics.build(config, len(self.catalogue), self.counts) for config in self.measured.metrics]
        return measure(self._users(scorer, loader, heed), self.items(scorer), built)

    def _users(self, scorer: Scorer, loader: Loader, heed: Callable[[], None]) -> Iterator[Users]:
        for batch in loader:
            heed()
            wanted, offsets = self._found(batch, self.key)
            spared, whom = None, None
            if self.measured.exclude is not None:
                spared, whom = self._found(batch, self.measured.exclude)
            yield Users(scorer.vectors(batch, "user", self.user_groups), wanted, offsets, spared, whom)

    def _found(self, batch: Batch, feature: str) -> tuple[np.ndarray, np.ndarray]:
        """The items of the catalogue that a feature names, and whose they are."""
        jagged = batch.jagged(feature)
        offsets = np.arange(batch.size + 1) if jagged.offsets is None else jagged.offsets.numpy()
        return self.catalogue.find(jagged.values.numpy()), offsets


def _next_child(experiment: Experiment, plan: EmbeddingPlan) -> str:
    """The child of the user's first sequence that holds items.

    Raises:
        ConfigError: There is none.
    """
    user = plan.groups["user"]
    key = experiment.generator.outputs[experiment.data.item_id]
    table = next((t.name for t in plan.tables if key.name in t.features), None)
    for bag in user.sequences[0]:
        if bag.table == table:
            return bag.feature
    sequence = user.layout.sequences[0]
    text = f"no child of '{sequence.name}' shares the embedding_name of '{key.name}', so its steps are no items"
    raise experiment.placed(ConfigError([Problem(text, experiment.model.place_of("user", sequence.name))]))
