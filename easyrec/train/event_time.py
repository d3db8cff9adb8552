"""The newest event time that was learned, for those who watch how far behind the world a model is."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from easyrec.batch import Batch


def newest(former: float | str | None, batch: Batch, column: str | None) -> float | str | None:
    """The later of a time and those of a batch, as plain JSON: a number, or an ISO moment; None where there is none.

    Args:
        former: The newest so far.
        batch: Holds the column among its reserved ones.
        column: Column of event times; None: rows have none.
    """
    if column is None or batch.reserved is None:
        return former
    value: Any = pc.max(batch.reserved.column(column)).as_py()
    if value is None:
        return former
    found: float | str = value if isinstance(value, int | float | str) else value.isoformat()
    if former is None or isinstance(former, str) != isinstance(found, str):  # another type since a resumption
        return found
    return max(former, found)  # both numbers, or both texts
