"""What bounds a training batch beside its number of rows, and what stands against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from easyrec.errors import Problem, nearest

if TYPE_CHECKING:
    from easyrec.config.data import BatchCost, DataConfig
    from feature_generator import OutputSpec

SEQUENCES = ("sparse_sequence", "dense_sequence")


def sequences_of(outputs: Mapping[str, OutputSpec]) -> dict[str, list[str]]:
    """The outputs of each sequence, by its name."""
    found: dict[str, list[str]] = {}
    for spec in outputs.values():
        if spec.kind in SEQUENCES:
            found.setdefault(spec.sequence or spec.name, []).append(spec.name)
    return found


def counted_steps(bound: BatchCost, outputs: Mapping[str, OutputSpec]) -> list[list[str]]:
    """The outputs of each sequence whose steps are counted; they have equally many."""
    known = sequences_of(outputs)
    return [known[name] for name in bound.sequences]


def unfit_batches(data: DataConfig, outputs: Mapping[str, OutputSpec]) -> Iterator[Problem]:
    """What stands against the batches that are asked for; each `where` is a dotted path.

    Args:
        data: The `data` section.
        outputs: What the generator makes.
    """
    known = sequences_of(outputs)
    for index, name in enumerate(() if data.batch_cost is None else data.batch_cost.sequences):
        if name not in known:
            text = f"'{name}' is no sequence{nearest(name, known)}\nsequences: {', '.join(known) or 'none'}"
            yield Problem(text, f"data.batch_cost.sequences.{index}")
