"""Tables as they are written and served: of the dynamic ones, up to the last row that an id has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from typing_extensions import Self

from easyrec.embedding.spec import EmbeddingPlan


@dataclass(frozen=True)
class ServedTables:
    """Tables that no longer change.

    Attributes:
        plan: Tables and groups.
        weights: (rows, dim) float32 of each table.
        keys: Ids of dynamic tables and their rows, ascending, (n,) int64 each, by the name of their keys. A row keeps its
            place as long as its id has it, so that two exports differ in the rows that changed.
    """

    plan: EmbeddingPlan
    weights: Mapping[str, np.ndarray]
    keys: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @property
    def served(self) -> Self:
        """These: what a collection that still learns calls so."""
        return self

    def only(self, groups: Collection[str]) -> Self:
        """Those that some groups look up in."""
        plan = self.plan.only(groups)
        weights = {table.name: self.weights[table.name] for table in plan.tables}
        return type(self)(plan, weights, {spec.name: self.keys[spec.name] for spec in plan.keys})

    def arrays(self) -> dict[str, np.ndarray]:
        """All that tells these tables from others, by name."""
        keys = {
            f"{name}:{part}": a
            for name, held in self.keys.items()
            for part, a in zip(("ids", "rows"), held, strict=True)
        }
        return {**self.weights, **keys}
