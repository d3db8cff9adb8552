"""How wide embeddings need to be, by the gates of their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from easyrec.check import build
from easyrec.config.experiment import experiment_of
from easyrec.embedding.plan import plan_embeddings
from easyrec.errors import ConfigError
from easyrec.tune.select.reduced import Reduction, without
from easyrec.tune.select.units import Units
from feature_generator.config import Document, override


@dataclass(frozen=True)
class Dims:
    """Widths of embeddings.

    Attributes:
        before: By feature.
        after: By feature; the same for all where the model takes no others.
        mixed: Whether the model takes different widths.
    """

    before: Mapping[str, int]
    after: Mapping[str, int]
    mixed: bool

    def applied(self, document: Document) -> Document:
        """The config with these widths."""
        return _with(document, self.after)


def proposed(
    reduction: Reduction, units: Units, numbers: Mapping[str, Sequence[float]], copies: Mapping[str, str]
) -> Dims:
    """The widths of the features that are in: as many numbers as have gates more open than those of shuffled copies.

    Widths are rounded up to powers of two, and features of one table share the widest.
    """
    experiment = reduction.experiment()
    plan = plan_embeddings(experiment.generator.outputs, experiment.model)
    noise = [value for copy in copies for value in numbers.get(copy, ())]
    bound = float(np.quantile(noise, 0.95)) if noise else 0.5
    owner = units.owner
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    for table in plan.tables:
        if ":" in table.name:  # first-order weights, and tables of one group alone
            continue
        open_ = max(sum(value > bound for value in numbers.get(owner[feature], ())) for feature in table.features)
        width = min(1 << max(open_ - 1, 0).bit_length(), table.dim)
        before |= dict.fromkeys(table.features, table.dim)
        after |= dict.fromkeys(table.features, width)
    document = without(reduction.document, units.all_of(reduction.removed))
    if _fits(_with(document, after)):
        return Dims(before, after, mixed=True)
    widest = max(after.values(), default=0)
    alike = {feature: min(widest, before[feature]) for feature in after}
    return Dims(before, alike if _fits(_with(document, alike)) else before, mixed=False)


def _fits(document: Document) -> bool:
    try:
        build(experiment_of(document))
    except ConfigError:
        return False
    return True


def _with(document: Document, widths: Mapping[str, int]) -> Document:
    raw = dict(document.raw)
    raw["features"] = [_widened(one, "", widths) for one in raw["features"]]
    return override(Document(None, raw, {(): document.place(())}, document.file), ())


def _widened(one: Mapping[str, Any], prefix: str, widths: Mapping[str, int]) -> dict[str, Any]:
    name = f"{prefix}{one.get('name')}"
    if one.get("type") == "sequence":
        return {**one, "features": [_widened(child, f"{name}__", widths) for child in one["features"]]}
    return {**one, "embedding_dim": widths[name]} if name in widths else dict(one)
