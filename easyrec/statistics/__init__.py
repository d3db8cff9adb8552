"""Statistics: item-to-item matrices that one pass over the data gives, without gradients.

The contract of the family: `easyrec/statistics/<type>.py` holds the statistic's `Config` over `StatisticConfig`, and one
class over `Statistic`, which makes of what users took how near items are to each other. The family stands beside
`easyrec.models`: `model.type` names a member of either. Importing this loads no torch.
"""

from __future__ import annotations

from easyrec.config.family import implementation
from easyrec.config.statistic import StatisticConfig
from easyrec.statistics._statistic import Statistic

__all__ = ["Statistic", "StatisticConfig", "build"]


def build(config: StatisticConfig, threads: int = 1, seed: int = 0) -> Statistic:
    """A statistic that has counted nothing.

    Args:
        config: The `model` section.
        threads: Threads that it counts with; the numbers are the same with any.
        seed: Where chance starts, for those that draw.
    """
    return implementation("easyrec.statistics", config.type, Statistic)(config, threads, seed)
