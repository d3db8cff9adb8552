"""What readers of feature stores counted, as metrics and as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from easyrec.store.near import NearStore
from easyrec.store.reader import ModelReader
from easyrec.store.timings import BOUNDS
from serving.server.metrics import STORE_SECONDS

RESULTS = ("hits", "misses", "expired", "defaulted")


def numbers(stores: Mapping[str, NearStore], readers: Iterable[tuple[str, ModelReader]]) -> dict[str, list[list[Any]]]:
    """As `Metrics.state`.

    Args:
        stores: By project.
        readers: With what their models are called.
    """
    counters: list[list[Any]] = []
    gauges: list[list[Any]] = []
    histograms: list[list[Any]] = []
    for model, reader in readers:
        for view, stats in reader.stats().items():
            labels = [("model", model), ("view", view)]
            for kind in RESULTS:
                count = getattr(stats.counts, kind)
                counters.append(["easyrec_store_rows_total", [*labels, ("result", kind)], count])
            if stats.age_s is not None:
                gauges.append(["easyrec_store_event_age_seconds", labels, stats.age_s])
        for own in reader.entities.values():
            labels, timings = [("model", model), ("entity", own.entity)], own.timings
            histogram = [*_coarser(timings.buckets()), timings.times.seconds]
            histograms.append(["easyrec_store_read_seconds", labels, histogram])
    for name, near in stores.items():
        project = ("project", name)
        gauges.append(["easyrec_store_breaker_open", [project], int(near.breaker.is_open)])
        counters.append(["easyrec_store_breaker_opened_total", [project], near.breaker.opened])
        for entity, held in near.memory().items():
            labels = [project, ("entity", entity)]
            for kind, value in asdict(held).items():
                if kind in ("rows", "nbytes", "lag_s"):
                    gauges.append([_GAUGES[kind], labels, value])
                else:
                    counters.append(["easyrec_store_memory_total", [*labels, ("kind", kind)], value])
    return {"counters": counters, "gauges": gauges, "histograms": histograms}


_GAUGES = {
    "rows": "easyrec_store_memory_rows",
    "nbytes": "easyrec_store_memory_bytes",
    "lag_s": "easyrec_store_poll_lag_seconds",
}


def shown(project: str, near: NearStore, readers: Mapping[str, ModelReader]) -> dict[str, Any]:
    """The same for people, with percentiles.

    Args:
        project: Whose.
        near: The store.
        readers: By model.
    """
    models = {}
    for model, reader in readers.items():
        views = {}
        for view, stats in reader.stats().items():
            counts = asdict(stats.counts)
            asked = sum(counts.values())
            rates = {f"{kind}_rate": round(count / asked, 6) if asked else 0.0 for kind, count in counts.items()}
            rest = {"entity": stats.entity, "generation": stats.generation, "newest": stats.newest}
            views[view] = rest | {"age_s": stats.age_s} | counts | rates | asdict(stats.times)
        models[model] = views
    memory = {entity: asdict(stats) for entity, stats in near.memory().items()}
    breaker = {"open": near.breaker.is_open, "opened": near.breaker.opened}
    return {"project": project, "store": near.store.shown, "models": models, "memory": memory, "breaker": breaker}


def _coarser(buckets: list[int]) -> list[float]:
    """Counts by the bounds of `Timings` as counts by those of a metric, which are some of them."""
    made = [0.0] * (len(STORE_SECONDS) + 1)
    place = 0
    for bound, count in zip((*BOUNDS, float("inf")), buckets, strict=True):
        while place < len(STORE_SECONDS) and bound > STORE_SECONDS[place]:
            place += 1
        made[place] += count
    return made
