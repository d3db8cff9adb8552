"""Which index finds enough of users' nearest items in the least time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from easyrec.config import Experiment
from easyrec.data import Part, Source, make_loader
from easyrec.data.intake import raw_columns
from easyrec.data.sample import read_sample
from easyrec.data.sides import Sides
from easyrec.data.sources.frame import FrameSource
from easyrec.durable import write_text
from easyrec.errors import DataError
from easyrec.report.environment import environment
from easyrec.report.index_page import index_page
from easyrec.retrieval.indexes import Index, IndexConfig
from easyrec.retrieval.indexes._files import change
from easyrec.retrieval.items import Items
from easyrec.retrieval.tuning import Exact, Point, cheapest, sweep
from easyrec.train.embed import built_of
from easyrec.train.scorer import Scorer


def user_vectors(experiment: Experiment, scorer: Scorer, part: Part | Source, most: int) -> np.ndarray:
    """(B, D) float32, vectors of up to so many users, spread over their source; of those with several, each of them.

    Raises:
        DataError: There are none.
    """
    part = part if isinstance(part, Part) else Part(part)
    sides, generator = Sides(experiment), Sides(experiment).generator("user")
    rows = FrameSource(read_sample(part, most, raw_columns(generator, part.source)), "users")
    loader = make_loader(experiment, rows, generator, training=False, labels=False, reserved=[])
    found = [scorer.vectors(batch, "user", sides.user_groups).numpy() for batch in loader]
    if not found:
        raise DataError("there are no users whose items could be looked for")
    whole = np.concatenate(found)
    return np.ascontiguousarray(whole.reshape(-1, whole.shape[-1]))


def chosen_index(
    items: Items,
    queries: np.ndarray,
    k: int,
    recall: float,
    *,
    more: Sequence[IndexConfig] = (),
    seconds: float = 5.0,
    told: Callable[[Point], None] = lambda _: None,
) -> tuple[dict[str, Any], Index | None]:
    """Measure the index of the items, and others that are built of their vectors, at every setting of their searches.

    Args:
        items: The items.
        queries: (B, D), vectors of users.
        k: How many items each looks for.
        recall: Share of its nearest that it must find.
        more: Indexes to build and measure beside.
        seconds: How long searches are timed at each setting.
        told: Is told each setting that was measured.

    Returns:
        What was found, as the report shows it; and the index of the suggested setting, None where there is none.
    """
    metric, vectors = items.index.config.metric, items.vectors()
    exact = {metric: Exact.of(queries, vectors, k, metric)}
    points: list[Point] = []
    suggested: Point | None = None
    best: Index | None = None
    for config in (None, *more):
        index = items.index if config is None else built_of(items.folder, config, items.attributes)
        if index.config.metric not in exact:
            exact[index.config.metric] = Exact.of(queries, vectors, k, index.config.metric)
        name = _name(index.config) + ("" if config is None else ", new" if config == items.index.config else "")
        for point in sweep(index, name, exact[index.config.metric], seconds, recall):
            points.append(point)
            told(point)
        suggested = cheapest(points, recall)
        if suggested is not None and suggested.name == name:
            best = index.asked(**suggested.config)
    found = {
        "name": items.name,
        "items": len(items.ids),
        "dim": items.index.dim,
        "queries": len(queries),
        "k": min(k, len(items.ids)),
        "recall": recall,
        "points": [asdict(point) for point in points],
        "suggested": None if suggested is None else asdict(suggested),
        "environment": environment(),
    }
    return found, best


def write(found: Mapping[str, Any], folder: Path) -> Path:
    """Write `tuning.json` and the report; gives the path of the report."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "tuning.json", json.dumps(found, indent=1) + "\n")
    write_text(folder / "report.html", index_page(found))
    return folder / "report.html"


def apply(items: Items, best: Index) -> None:
    """Let the items have this index."""
    if best.inside is items.index.inside:
        change(items.folder / "index", best.config.model_dump())
    else:
        best.save(items.folder / "index")


def _name(config: IndexConfig) -> str:
    """The type of an index, and its keys that are no defaults."""
    fields = type(config).model_fields
    told = [
        f"{key}={value}"
        for key, value in config.model_dump().items()
        if key not in ("type", config.effort, "rebuild_at") and value != fields[key].default
    ]
    return " ".join([config.type, *told])
