"""What a search leaves to its caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from easyrec.tune.cross.proposal import Proposal


@dataclass(frozen=True)
class Crossed:
    """A search of features.

    Attributes:
        path: Its folder.
        config: `best.yaml`, which `easyrec train` takes.
        report: `report.html`.
        proposals: All features that were tried.
        quality: By `judge`, the newest rows of `train`, and `valid`: AUC and log loss of the probes' models before and
            after, `auc_before`, `auc_after`, `loss_before`, `loss_after`.
        seconds: How long it took.
    """

    path: Path
    config: Path
    report: Path
    proposals: Sequence[Proposal]
    quality: Mapping[str, Mapping[str, float]]
    seconds: float

    @property
    def accepted(self) -> list[Proposal]:
        """Those that are in `best.yaml`."""
        return [proposal for proposal in self.proposals if proposal.accepted]
