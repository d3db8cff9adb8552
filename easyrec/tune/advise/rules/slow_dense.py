"""`slow_dense`: long trainings of a large dense part in full precision."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

SHARE, MINUTES = 0.7, 30.0
"""Share of the dense part, and length of the training, from which on it is told."""
FLAGS = ("amx_bf16", "avx512_bf16")
"""What a processor says that multiplies bf16."""


class SlowDense(Rule):
    """A long training spends its time in the dense part, in fp32, on a machine that multiplies bf16."""

    needs: ClassVar[Need] = "profile"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        profile, train = evidence.profile or {}, evidence.experiment.train
        parts = profile["parts"]
        dense = sum(parts.get(part, 0.0) for part in ("forward", "backward", "update of the dense part"))
        share, total = dense / profile["seconds"], evidence.train.total if "train" in evidence.parts else None
        if share < SHARE or train.precision != "fp32" or total is None or not able(profile["device"]):
            return
        steps = train.steps or (train.epochs or 1.0) * total / profile["batch_size"]
        minutes = steps * profile["seconds"] / profile["steps"] / 60
        if minutes < MINUTES:
            return
        yield Proposal(
            "low",
            "train.precision",
            f"{share:.0%} of a step goes into the dense part, and {steps:,.0f} steps take about {minutes:,.0f} minutes",
            f"{profile['device']} multiplies bf16 faster than fp32",
            "the dense part takes a half to three quarters of its time; AUC as a rule within ±0.0003, weights and losses stay fp32",
            {"train.precision": "bf16"},
        )


def able(device: str, root: Path = Path("/")) -> bool:
    """Whether a device multiplies bf16 in hardware."""
    if device != "cpu":
        return True
    try:
        flags = (root / "proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return any(flag in flags for flag in FLAGS)
