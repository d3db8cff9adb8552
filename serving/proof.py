"""The proof at loading: features of the warm-up rows bit for bit, scores within the manifest's tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from easyrec.errors import BundleError, DataError
from easyrec.export.warmup import FOLDER, WarmupRows, feature_digests, largest_error
from feature_generator import Table

if TYPE_CHECKING:
    from serving.predictor import Predictor

REQUESTS = 4
"""Warm-up rows that are also sent as requests, of one candidate and of several."""
CANDIDATES = 3


def prove(predictor: Predictor) -> None:
    """Replay the warm-up rows of a predictor's bundle.

    Raises:
        BundleError: A feature differs by a bit, or a score by more than the tolerance.
    """
    bundle = predictor.bundle
    kept = WarmupRows.load(bundle.folder(FOLDER))
    if kept.rows.num_rows != bundle.manifest.warmup.rows:
        raise BundleError(f"{bundle.path}: holds {kept.rows.num_rows} warm-up rows, not {bundle.manifest.warmup.rows}")
    try:
        table = predictor.generator.transform(kept.rows)
        _same_features(predictor, feature_digests(table), kept.features)
        _same_scores(predictor, table, kept)
        for row in range(min(REQUESTS, kept.rows.num_rows)):
            _same_as_request(predictor, kept, table, row)
    except DataError as error:
        raise BundleError(f"{bundle.path}: the warm-up rows cannot be replayed: {error}") from None


def _same_features(predictor: Predictor, found: dict[str, str], kept: object) -> None:
    assert isinstance(kept, dict)
    differing = sorted(name for name in {*found, *kept} if found.get(name) != kept.get(name))
    if differing:
        raise BundleError(
            f"{predictor.bundle.path}: does not make the features that the model was trained on: "
            f"{', '.join(differing[:5])}{' ...' if len(differing) > 5 else ''}"
        )


def _same_scores(predictor: Predictor, table: Table, kept: WarmupRows) -> None:
    """Compare before calibration, whose slope multiplies differences; calibration itself must repeat exactly."""
    predictions = predictor._predictions(table)
    if set(kept.predictions) != set(predictions):
        raise BundleError(f"{predictor.bundle.path}: the warm-up rows have scores of other tasks")
    _near(predictor, predictions, kept.predictions)
    for name, score in predictor._scoring(kept.predictions).items():
        if not np.array_equal(score, kept.scores[name], equal_nan=True):
            raise BundleError(f"{predictor.bundle.path}: the calibration of task '{name}' is not the trained one")


def _near(predictor: Predictor, found: Mapping[str, np.ndarray], kept: Mapping[str, np.ndarray]) -> None:
    entry = predictor.manifest.runtimes[predictor.runtime]
    tolerance = predictor.tolerance
    for name, trained in kept.items():
        error = largest_error(found[name], trained)
        if not error <= tolerance:
            raise BundleError(
                f"{predictor.bundle.path}: does not score as trained: task '{name}' differs by {error:.2e}, "
                f"allowed are {tolerance:.0e} (runtime {predictor.runtime}, {entry.precision})"
            )


def _same_as_request(predictor: Predictor, kept: WarmupRows, table: Table, row: int) -> None:
    one = kept.rows.slice(row, 1)
    sides = {side: one.select(columns) if columns else None for side, columns in predictor._sides.items()}
    request = predictor._request(sides, 1)
    _same_features(predictor, feature_digests(request), feature_digests(table.slice(row, row + 1)))
    found = predictor._predictions_apart(sides, 1)
    if found is None:
        return
    _near(predictor, found, {name: trained[row : row + 1] for name, trained in kept.predictions.items()})
    others = kept.rows.slice(0, CANDIDATES)  # one candidate alone would hide what mixes them up
    several = {**sides, "item": others.select(predictor._sides["item"]) if predictor._sides["item"] else None}
    wanted = predictor._predictions(predictor._request(several, others.num_rows))
    found = predictor._predictions_apart(several, others.num_rows)
    assert found is not None
    _near(predictor, found, wanted)
