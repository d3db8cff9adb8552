"""The two towers of a matching model as two bundles: one answers with vectors of users, one with vectors of items."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from easyrec.batch import Batch, Embedded
from easyrec.config import Experiment
from easyrec.data.sides import Sides
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.export.assembly import export_bundle
from easyrec.export.identity import model_digest
from easyrec.export.manifest import OutputColumn, TaskScoring
from easyrec.export.scoring import Scoring
from easyrec.models._matching import Matching

Side = Literal["user", "item"]
SIDES: tuple[Side, ...] = ("user", "item")
VECTOR = "vector"
"""What a tower's answer is called."""


class Tower(nn.Module):
    """The vectors of one side, as they are compared: (B, D) float32."""

    def __init__(self, model: Matching, side: Side) -> None:
        super().__init__()
        self.model, self.side = model, side

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The vectors, by the name of the answer."""
        x = self.model.prepared(x)
        vectors = self.model.user(x) if self.side == "user" else self.model.item(x)
        return {VECTOR: self.model.scaled(vectors)}


class TrainedTower:
    """One side of a trained model, as `export_bundle` takes it.

    Args:
        model: The model, averages in place where there are any.
        collection: Its tables.
        side: The side.
        groups: Groups that describe it.
    """

    def __init__(self, model: Matching, collection: EmbeddingCollection, side: Side, groups: Collection[str]) -> None:
        self.model = Tower(model, side)
        self.collection = collection.served.only(groups)
        self.scoring = Scoring([TaskScoring(name=VECTOR, type=VECTOR)])
        self._lookup, self._groups = collection.lookup, groups

    def link(self, logits: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What the model gives, as it is."""
        return logits

    @torch.no_grad()
    def uncalibrated(self, batch: Batch) -> dict[str, np.ndarray]:
        """The vectors of some rows."""
        training = self.model.training
        self.model.eval()
        try:
            found = self.model(self._lookup(batch, self._groups))[VECTOR]
        finally:
            self.model.train(training)
        return {VECTOR: found.detach().numpy()}


def export_towers(
    experiment: Experiment,
    model: Matching,
    collection: EmbeddingCollection,
    rows: Callable[[Side], Any],
    directory: Path,
    *,
    metrics: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the bundles `user` and `item` into a folder.

    Args:
        experiment: What was trained.
        model: The model, averages in place where there are any.
        collection: Its tables.
        rows: Raw rows of a side to warm up with.
        directory: Where the bundles go.
        metrics: Of training, for the manifests.
        overwrite: Replace bundles that are there.

    Raises:
        DataError: No row of a side is without a bad value.
        RunError: A tower cannot be captured, or the disk refuses.
    """
    sides, whole = Sides(experiment), model_digest(experiment, model, collection.served)
    directory.mkdir(parents=True, exist_ok=True)
    for side in SIDES:
        trained = TrainedTower(model, collection, side, sides.user_groups if side == "user" else sides.item_groups)
        export_bundle(
            experiment,
            trained,
            rows(side),
            directory / side,
            metrics=metrics,
            overwrite=overwrite,
            generator=sides.generator(side),
            tower_of=whole,
            outputs=lambda found: [OutputColumn(name=VECTOR, shape=list(found[VECTOR].shape[1:]), meaning=VECTOR)],
        )
    return directory
