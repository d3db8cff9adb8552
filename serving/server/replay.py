"""Replays a request log against a bundle: feature by feature, score by score, with the cause where it can be told."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.errors import DataError
from easyrec.export.bundle import digest_of
from easyrec.export.warmup import feature_digests, largest_error
from serving.predictor import Predictor
from serving.server.request_log import DIGITS, SIDES, models_of, read_log


@dataclass
class Replayed:
    """What a replay found.

    Attributes:
        requests: Requests that were replayed.
        items: Their candidates.
        same: Requests whose features and scores are those of the log.
        features: Requests in which a feature differs, by feature and cause.
        scores: Requests in which a task's scores differ by more than the tolerance, by task and cause.
        largest: The largest difference by task.
        unreadable: Requests that the bundle refuses, by what it says.
        answered: Requests whose row does not score as was answered, by cause: `redacted`, or `recast` columns.
        tolerance: What a score may differ by.
    """

    tolerance: float
    requests: int = 0
    items: int = 0
    same: int = 0
    features: Counter[tuple[str, str]] = field(default_factory=Counter)
    scores: Counter[tuple[str, str]] = field(default_factory=Counter)
    largest: dict[str, float] = field(default_factory=dict)
    unreadable: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)

    @property
    def unexplained(self) -> int:
        """Differences without a known cause."""
        causes = [cause for counted in (self.features, self.scores) for _, cause in counted.elements()]
        return causes.count(UNEXPLAINED)


UNEXPLAINED = "unexplained"
OTHER_GENERATOR = "the bundle has another generator"
OTHER_WEIGHTS = "the bundle has other weights"
FEATURES = "features differ"


def replay(log: str | os.PathLike[str], bundle: str | os.PathLike[str], *, most: int | None = None) -> Replayed:
    """Score the requests of a log again.

    Args:
        log: A file, or a folder of them.
        bundle: What scores now.
        most: Requests to replay; default: all.

    Raises:
        BundleError: The bundle cannot be read.
        DataError: There is no log, or it is of several models.
    """
    models = models_of(Path(log))
    if len(models) > 1:
        several = ", ".join(f"'{name}'" for name in models)
        raise DataError(f"holds the requests of {several}: name the folder or file of one of them", file=str(log))
    digest = digest_of(Path(bundle))
    with Predictor.load(bundle, bad_values="default", missing_columns="default") as predictor:
        manifest = predictor.manifest
        result = Replayed(manifest.runtimes[predictor.runtime].tolerance[manifest.precision])
        for told, row in read_log(Path(log)):
            if most is not None and result.requests >= most:
                break
            _one(predictor, digest, told, row, result)
    return result


def _one(predictor: Predictor, digest: str, told: Mapping[str, str], row: pa.RecordBatch, result: Replayed) -> None:
    result.requests += 1
    try:
        sides = _sides(predictor, row)
        found = feature_digests(predictor.features(sides["user"], sides["item"], sides["context"]))
        scores = predictor.predict(sides["user"], sides["item"], sides["context"])
    except DataError as error:
        result.unreadable[str(error)] += 1
        return
    kept = dict(row.column("log:features")[0].as_py() or [])
    other = told["fingerprint"] != predictor.manifest.fingerprint
    differing = [name for name in kept.keys() | found.keys() if kept.get(name) != found.get(name, "")[:DIGITS]]
    result.features.update((name, OTHER_GENERATOR if other else UNEXPLAINED) for name in differing)
    moved = False
    for task, values in scores.items():
        result.items += len(values) if task == min(scores) else 0
        name = f"check:{task}"
        moved_by = largest_error(values, _scores(row, name)) if name in row.schema.names else float("inf")
        result.largest[task] = max(result.largest.get(task, 0.0), moved_by)
        if not moved_by <= result.tolerance:
            moved = True
            cause = FEATURES if differing else OTHER_WEIGHTS if told["version"] != digest else UNEXPLAINED
            result.scores[task, cause] += 1
    result.same += not differing and not moved
    _compare_answer(told, row, result)


def _compare_answer(told: Mapping[str, str], row: pa.RecordBatch, result: Replayed) -> None:
    tasks = [name.partition(":")[2] for name in row.schema.names if name.startswith("score:")]
    if all(np.array_equal(_scores(row, f"score:{t}"), _scores(row, f"check:{t}"), equal_nan=True) for t in tasks):
        return
    recast = row.column("log:recast")[0].as_py()
    causes = [f"redacted: {told['redacted']}"] if told.get("redacted") else []
    causes += [f"came in another type: {', '.join(recast)}"] if recast else []
    result.answered[" and ".join(causes) or UNEXPLAINED] += 1


def _sides(predictor: Predictor, row: pa.RecordBatch) -> dict[str, pa.RecordBatch | None]:
    """The request's columns by side; those that the log lacks are null, and take the features' defaults."""
    sides: dict[str, pa.RecordBatch | None] = {}
    count = next((len(row.column(n)[0]) for n in row.schema.names if n.startswith(("item:", "score:"))), 0)
    for side in SIDES:
        names = [name for name, own in predictor.generator.inputs.items() if own == side]
        arrays: list[Any] = []
        for name in names:
            key = f"{side}:{name}"
            if key not in row.schema.names:
                arrays.append(pa.nulls(count if side == "item" else 1))
            elif side == "item":
                arrays.append(row.column(key).flatten())
            else:
                arrays.append(row.column(key))
        sides[side] = pa.RecordBatch.from_arrays(arrays, names) if names else None
    if sides["item"] is None:
        sides["item"] = pa.RecordBatch.from_struct_array(pa.array([{}] * count, pa.struct([])))
    return sides


def _scores(row: pa.RecordBatch, name: str) -> np.ndarray:
    values, shape = row.column(name).flatten(), []
    shape.append(len(values))
    while pa.types.is_fixed_size_list(values.type):
        shape.append(values.type.list_size)
        values = values.flatten()
    array: np.ndarray = values.to_numpy(zero_copy_only=False)
    return array.reshape(shape)
