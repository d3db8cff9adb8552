"""Raw columns in files of encoded features: one that is called like a feature stands beside it as `<name>:raw`."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import TYPE_CHECKING

from feature_generator.encoding import RAW

if TYPE_CHECKING:
    from easyrec.data.intake import Demand


def raw_name(name: str, columns: Container[str], mode: str) -> str:
    """The column that holds the raw column `name`.

    Args:
        name: As the config calls it.
        columns: Columns that there are.
        mode: `raw`, or `encoded`: columns called like features hold features.
    """
    return name + RAW if mode == "encoded" and name + RAW in columns else name


def with_raw_names(demand: Demand, columns: Container[str], mode: str) -> Demand:
    """The demand with every column under the name that holds it; its predicate knows its own."""

    def found(name: str) -> str:
        return raw_name(name, columns, mode)

    leakage = demand.leakage
    if leakage is not None:
        sequences = [found(name) for name in leakage.sequences]
        leakage = leakage.model_copy(update={"time": found(leakage.time), "sequences": sequences})
    return replace(
        demand,
        labels={found(name): classes for name, classes in demand.labels.items()},
        sample_weight=None if demand.sample_weight is None else found(demand.sample_weight),
        reserved=[found(name) for name in demand.reserved],
        leakage=leakage,
    )
