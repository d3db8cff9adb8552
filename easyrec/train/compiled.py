"""What became of a model that was compiled: into how many graphs, and where it was broken."""

from __future__ import annotations

from collections import Counter

import torch


class CompileWatch:
    """Counts what `torch.compile` does from now on."""

    def __init__(self) -> None:
        self._before = _counted()

    def told(self) -> str:
        """The graphs since then, and each break with its reason."""
        graphs, breaks = _counted()
        graphs, breaks = graphs - self._before[0], breaks - self._before[1]
        text = f"compiled into {graphs} graph{'s' * (graphs != 1)}"
        reasons = [f"  {count} x {' '.join(reason.split())}" for reason, count in breaks.most_common()]
        return "\n".join([f"{text}, broken at:" if reasons else f"{text}, without a break", *reasons])


def _counted() -> tuple[int, Counter[str]]:
    """Graphs, and breaks by their reason, since the start of the process."""
    counters = torch._dynamo.utils.counters  # torch has no other place that tells this of a running program
    return int(counters["stats"]["unique_graphs"]), Counter(counters["graph_break"])
