"""`tight_memory`: tables that hardly fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from easyrec.check import Inspection
from easyrec.train.out_of_memory import available
from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

TIGHT = 0.7
"""Share of the memory that is free from which on it is told."""


class TightMemory(Rule):
    """Tables with their optimizer's state take most of the memory that is free."""

    needs: ClassVar[Need] = "config"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        experiment, built, free = evidence.experiment, evidence.built, available()
        memory = Inspection(experiment, {}, built.plan, built.dense_parameters).memory
        if free is None or memory.total < TIGHT * free:
            return
        kind = experiment.train.sparse_optimizer.type
        state = memory.optimizer / max(memory.tables, 1)
        slim = {"type": "rowwise_adagrad", "lr": 0.02}
        settings: dict[str, Any] = {"train.storage": {"memory_mb": max(int(free / 2 / 2**20), 64)}}
        if state >= 1 and memory.tables < 0.5 * free:  # without the state it fits
            settings = {"train.sparse_optimizer": slim}
        yield Proposal(
            "high" if memory.total > free else "medium",
            next(iter(settings)),
            f"{memory.total / 1e9:,.1f} GB for tables, the state of {kind} and the dense part, and {free / 1e9:,.1f} GB are free",
            "training ends without memory, or the machine swaps, once batches and the shuffle buffer come on top",
            "rows that are met seldom wait on disk, which costs time by how seldom they are"
            if "train.storage" in settings
            else f"the state shrinks from {state:.0f} numbers per weight to one per row; the rate is another one, to be tried on valid",
            settings,
        )
