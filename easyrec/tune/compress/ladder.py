"""What is tried to make tables smaller: from what costs nothing to what must be trained anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from easyrec.embedding.spec import EmbeddingPlan

LARGE = 0.02
"""Share of the tables' bytes from which on it is worth to learn a table anew."""


@dataclass(frozen=True)
class Candidate:
    """Settings that make tables smaller.

    Attributes:
        name: What it is called.
        export: Keys of the `export` section.
        model: Keys of the `model` section, where the model must be trained with them.
    """

    name: str
    export: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """By dotted path, as overrides are."""
        laid = {f"export.{key}": value for key, value in self.export.items()}
        return laid | {f"model.{key}": value for key, value in self.model.items()}


def _codecs(name: str, *codecs: Mapping[str, Any], tables: str = "fp32") -> Candidate:
    return Candidate(name, {"tables": tables, "compress": [dict(codec) for codec in codecs]})


def finished() -> list[Candidate]:
    """What is done with finished tables, roughly from the mildest to the harshest."""
    pruned = {"type": "prune", "min_count": 2}
    return [
        Candidate("fp16", {"tables": "fp16"}),
        Candidate("int8", {"tables": "int8"}),
        _codecs("product 1", {"type": "product"}, tables="fp16"),
        _codecs("prune, int8", pruned, tables="int8"),
        _codecs("prune, product 1", pruned, {"type": "product"}, tables="fp16"),
        _codecs("low rank 99%, product 1", {"type": "low_rank", "energy": 0.99}, {"type": "product"}, tables="fp16"),
        _codecs("product 2", {"type": "product", "numbers": 2}, tables="fp16"),
        _codecs("prune, product 2", pruned, {"type": "product", "numbers": 2}, tables="fp16"),
        _codecs("product 4", {"type": "product", "numbers": 4}, tables="fp16"),
        _codecs("prune, product 4", pruned, {"type": "product", "numbers": 4}, tables="fp16"),
    ]


def learned(plan: EmbeddingPlan, target: float) -> list[Candidate]:
    """What is learned with tables made of smaller ones: of the large ones whose ids are rows.

    Args:
        plan: The tables as they are.
        target: How much smaller they are to become.
    """
    keyed = {table.name for table in plan.tables if table.keys is not None}
    bags = [bag for group in plan.groups.values() for bag in group.bags if bag.kind == "ids"]
    plain = {bag.table for bag in bags} - keyed
    large = [
        table
        for table in plan.tables
        if table.name in plain and ":" not in table.name and table.trainable and table.bytes >= LARGE * plan.bytes
    ]
    collisions = max(2, round(target))
    quotients = {
        t.name: {"type": "quotient_remainder", "collisions": collisions} for t in large if t.rows > 4 * collisions
    }
    narrow = {t.name: {"type": "mixed", "dim": max(1, round(t.dim / target))} for t in large if t.dim >= 2}
    found = [("quotients and remainders", quotients), ("mixed dims", narrow)]
    return [Candidate(name, {"tables": "fp16"}, {"compress": tables}) for name, tables in found if tables]
