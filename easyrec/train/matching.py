"""Training and evaluation of models that compare users with the items of a catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from easyrec.batch import Batch
from easyrec.config import Experiment
from easyrec.config.parts import NO_ITEMS, NO_ROWS
from easyrec.data import Loader, Part, Sources, make_loader
from easyrec.data.catalogue import read_catalogue, rows_of, single
from easyrec.data.intake import raw_columns
from easyrec.data.matching import Matcher, Missing
from easyrec.data.nodes import NodeMatcher
from easyrec.data.positions import Positions
from easyrec.data.samplers import Sampler
from easyrec.data.samplers import build as build_sampler
from easyrec.data.samplers.hard import Hard
from easyrec.data.samplers.tree import Tree
from easyrec.data.sides import Sides
from easyrec.errors import ConfigError, DataError
from easyrec.losses import sampled
from easyrec.losses._loss import mean
from easyrec.losses.sampled._loss import SampledLoss
from easyrec.losses.sampled.softmax import Config as Softmax
from easyrec.retrieval import metrics
from easyrec.retrieval.ranking import Measured, Scores, Users, listed
from easyrec.train.codes import known_codes, trie_of
from easyrec.train.near import near_items
from easyrec.train.scorer import Scorer
from easyrec.train.turns import Turns
from easyrec.train.users import users_of_all

NEAR = "sampler/near"
"""Of a checkpoint: the items near each one."""
ITEMS = 8192
"""Items whose vectors are made at once."""


class Matching:
    """The catalogue of an experiment, and what its users are compared with.

    Args:
        experiment: What is trained.
        sources: Its data: the catalogue, and the rows that are learned where these must be counted.

    Raises:
        ConfigError: There is no catalogue, or no rows to count.
        DataError: An item is bad.
    """

    def __init__(self, experiment: Experiment, sources: Sources) -> None:
        self.experiment, self.sources, self.sides = experiment, sources, Sides(experiment)
        if sources.items is None:
            raise experiment.placed(ConfigError([NO_ITEMS]))
        self.catalogue = read_catalogue(sources.items, self.sides)
        self.positions = Positions(self.catalogue, self.sides.sequence, self.sides.learned)
        assert experiment.eval.retrieval is not None
        self.measured = experiment.eval.retrieval
        self.sampler: Sampler | None = None
        self.refreshed = 0  # the epoch before which the items near each one were found

    @cached_property
    def counts(self) -> np.ndarray:
        """(N,), how often each item is learned in an epoch, as is to be expected where chance decides."""
        if self.sources.train is None:
            raise self.experiment.placed(ConfigError([NO_ROWS]))
        counts = np.zeros(len(self.catalogue))
        generator = self.experiment.generator.only([self.sides.sequence or self.sides.key])
        options: dict[str, Any] = {
            "bad_rows": self.experiment.data.bad_rows,
            "missing": self._missing(self.sources.train),
        }
        for rows in rows_of(self.sources.train, generator, **options):
            counts += np.bincount(*self.positions.expected(rows.table), minlength=len(counts))
        return counts

    def taken(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(n,) ids of users and of the items that they took, part by part of the rows that are learned."""
        part, (user, *_) = self.sources.train, (self.experiment.model.groups or {})["user"].features
        assert part is not None
        generator, missing = self.experiment.generator.only([user, self.sides.key]), self._missing(part)
        for rows in rows_of(part, generator, bad_rows=self.experiment.data.bad_rows, missing=missing):
            users = rows.table.ragged(user)
            counts = 1 if users.offsets is None else np.diff(users.offsets)
            yield users.values, np.repeat(single(rows.table, self.sides.key), counts)

    @cached_property
    def loss(self) -> SampledLoss:
        """What training with a sampler minimises."""
        return sampled.build(getattr(self.experiment.model, "loss", None) or Softmax(), len(self.catalogue))

    def learned(self, part: Part, shard: tuple[int, int] = (0, 1)) -> Loader:
        """The rows of a part that are this worker's, each batch with candidates."""
        config = self.experiment.data.sampler
        assert config is not None
        if config.logq is None:
            config = config.model_copy(update={"logq": self.loss.config.corrected})
        self.sampler = build_sampler(config, self.counts if config.counted else np.ones(len(self.catalogue)))
        missing = self._missing(part)
        made = NodeMatcher if isinstance(self.sampler, Tree) else Matcher
        matcher = made(self.positions, self.sampler, self.experiment.train.seed, missing, shard[0])
        generator = self.sides.generator("learned")
        options: dict[str, Any] = {"labels": False, "weights": True, "matcher": matcher, "shard": shard}
        return make_loader(self.experiment, part, generator, training=True, **options)

    def _missing(self, part: Part) -> Missing:
        (raw, *_) = raw_columns(self.experiment.generator.only([self.sides.key]), part.source)
        return Missing(self.positions, raw)

    def asked(self, part: Part, shard: tuple[int, int] = (0, 1)) -> Loader:
        """The rows of a part that are this worker's: users, and the items that they want."""
        generator = self.sides.generator("asked")
        return make_loader(self.experiment, part, generator, training=False, labels=False, shard=shard, measured=True)

    def objective(self, logits: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """The loss, by the name of the task."""
        assert batch.matches is not None
        weights, name = batch.sample_weight, self.experiment.tasks[0].name
        weights = None if weights is None else weights.index_select(0, batch.matches.rows)
        if self.experiment.model.searches:  # the logits are log-likelihoods of what is learned
            return {name: mean(-logits["logit"], weights)}
        return {name: self.loss(logits["logit"], batch.matches.columns, weights)}

    # ---------------------------------------------------------------------------------------- hard negatives

    def refresh(self, scorer: Scorer, epoch: int) -> None:
        """Give the sampler what it draws from, where that is due before an epoch; no batch of it may have been made.

        Args:
            scorer: The model.
            epoch: From 0.
        """
        if isinstance(self.sampler, Tree) and self.sampler.paths is None:
            self.sampler.sizes = self.experiment.model.tree.shape.sizes  # type: ignore[attr-defined]  # of such models
            self.sampler.paths = known_codes(scorer.collection, self.experiment, self.catalogue)
            lacking = int((self.sampler.paths < 0).any(axis=1).sum())
            if lacking:  # of a checkpoint that training goes on from
                text = f"{lacking:,} of {len(self.catalogue):,} items have no leaf in the tree that was learned before"
                raise DataError(f"{text}: a new catalogue takes a training from the start", file="data.items")
        if not isinstance(self.sampler, Hard) or self.sampler.config.index is None or epoch == self.refreshed:
            return
        if epoch % self.sampler.config.refresh == 0:
            vectors = self.items(scorer).cpu().numpy()
            self.sampler.near = near_items(vectors, self.sampler.config.index, self.sampler.config.top)
        self.refreshed = epoch

    def state(self) -> dict[str, np.ndarray]:
        """What was found, by name; it cannot be found again when the model has moved on."""
        if not isinstance(self.sampler, Hard) or self.sampler.near is None:
            return {}
        return {NEAR: self.sampler.near}

    def load_state(self, arrays: Mapping[str, np.ndarray], refreshed: int) -> None:
        """Take over what `state` gave, and `refreshed`."""
        self.refreshed = refreshed
        if isinstance(self.sampler, Hard) and NEAR in arrays:
            self.sampler.near = np.array(arrays[NEAR])

    # ------------------------------------------------------------------------------------------- evaluation

    def items(self, scorer: Scorer) -> Tensor:
        """(N, D) float32, the vectors of all items, where the model is."""
        starts = range(0, len(self.catalogue), ITEMS)
        parts = [
            Batch.of(self.catalogue.table.slice(s, min(s + ITEMS, len(self.catalogue))), outputs=self.catalogue.outputs)
            for s in starts
        ]
        return torch.cat([scorer.vectors(part, "item", self.sides.item_groups) for part in parts])

    def measure(
        self, scorer: Scorer, loader: Loader, heed: Callable[[], None] = lambda: None, turns: Turns | None = None
    ) -> dict[str, float]:
        """All retrieval metrics of a part.

        Args:
            scorer: The model.
            loader: The part.
            heed: Called for every batch.
            turns: Those of several workers, of which the first one measures; the others get nothing.
        """
        if self.experiment.model.searches:
            trie = trie_of(scorer.collection, self.experiment, self.catalogue).on(scorer.device)

            def search(found: Measured, batch: Batch, asking: Users) -> None:
                lists, _ = scorer.found(batch, self.sides.user_groups, trie, found.most, _barred(asking))
                found.take(listed(lists, asking.wanted, asking.offsets, len(self.catalogue)), asking.slices)

            return self._measured(search, loader, heed)
        items = self.items(scorer)

        def users(batch: Batch) -> Tensor:
            return scorer.vectors(batch, "user", self.sides.user_groups)

        if turns is not None and turns.workers.several:
            return self._ranked_by_first(items, users, loader, heed, turns)
        return self.ranked(items, users, loader, heed)

    def _ranked_by_first(
        self, items: Tensor, users: Callable[[Batch], Tensor], loader: Loader, heed: Callable[[], None], turns: Turns
    ) -> dict[str, float]:
        """All retrieval metrics of the users of all workers, on the first one."""
        counts, found = self._fresh()
        for turn in turns.of(loader):
            heed()
            asking = replace(self._asking(turn.batch, counts), vectors=users(turn.batch))
            for part in users_of_all(turns.workers, asking):
                found.update(part, items)
        return found.compute() if turns.workers.first else {}

    def ranked(
        self,
        items: Tensor | Scores,
        users: Callable[[Batch], Any],
        loader: Loader,
        heed: Callable[[], None] = lambda: None,
    ) -> dict[str, float]:
        """All retrieval metrics of a part.

        Args:
            items: The vectors of all items, or what scores them.
            users: Gives what these are compared with, or what scores them reads, for the users of a batch.
            loader: The part.
            heed: Called for every batch.
        """

        def rank(found: Measured, batch: Batch, asking: Users) -> None:
            found.update(replace(asking, vectors=users(batch)), items)

        return self._measured(rank, loader, heed)

    def _measured(
        self, find: Callable[[Measured, Batch, Users], None], loader: Loader, heed: Callable[[], None]
    ) -> dict[str, float]:
        counts, found = self._fresh()
        for batch in loader:
            heed()
            find(found, batch, self._asking(batch, counts))
        return found.compute()

    def _fresh(self) -> tuple[np.ndarray, Measured]:
        """How often each item is learned, where that is told, and metrics that were fed nothing."""
        told = any(m.counted for m in self.measured.metrics) or self.measured.cold is not None
        counts = self.counts if told else np.ones(len(self.catalogue))
        made = Measured(lambda: [metrics.build(m, len(self.catalogue), counts) for m in self.measured.metrics], counts)
        return counts, made

    def _asking(self, batch: Batch, counts: np.ndarray) -> Users:
        """The users of a batch, without vectors."""
        wanted, offsets = self._found(batch, self.sides.key)
        spared, whom = None, None
        if self.measured.exclude is not None:
            spared, whom = self._found(batch, self.measured.exclude)
        slices = {
            f"{column}={value}": rows
            for column in self.experiment.eval.slices
            for value, rows in _values(batch, column)
        }
        if self.measured.cold is not None:
            met = np.where(wanted >= 0, counts[wanted], 0.0) <= self.measured.cold
            slices["cold"] = np.flatnonzero(
                np.add.reduceat(np.append(met, False), offsets[:-1]) * (np.diff(offsets) > 0)
            )
        return Users(torch.zeros(batch.size, 0), wanted, offsets, spared, whom, slices)

    def _found(self, batch: Batch, feature: str) -> tuple[np.ndarray, np.ndarray]:
        """The items of the catalogue that a feature names, and whose they are."""
        jagged = batch.jagged(feature)
        offsets = np.arange(batch.size + 1) if jagged.offsets is None else jagged.offsets.numpy()
        return self.catalogue.find(jagged.values.numpy()), offsets


def _barred(users: Users) -> tuple[np.ndarray, np.ndarray] | None:
    """Users and items that are not found together: those that are spared, and not wanted."""
    if users.spared is None or users.spared_offsets is None:
        return None
    whom = np.repeat(np.arange(len(users.spared_offsets) - 1), np.diff(users.spared_offsets))
    who = np.repeat(np.arange(len(users.offsets) - 1), np.diff(users.offsets))
    most = int(max(users.spared.max(initial=-1), users.wanted.max(initial=-1))) + 1
    wanted = np.isin(whom * most + users.spared, who * most + users.wanted)
    kept = (users.spared >= 0) & ~wanted
    return whom[kept], users.spared[kept]


def _values(batch: Batch, column: str) -> Iterator[tuple[str, np.ndarray]]:
    """Each value of a raw column as text, and the ascending numbers of its rows."""
    assert batch.reserved is not None
    codes, values = batch.codes(column).numpy(), batch.reserved.column(column).to_pylist()
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        value = values[int(rows[0])]
        yield "null" if value is None else str(value), rows
