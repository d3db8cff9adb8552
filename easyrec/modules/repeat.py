"""A loop whose number of turns depends on the data, which torch.export can capture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def repeat(turns: Tensor, body: Callable[..., tuple[Tensor, ...]], *carried: Tensor) -> tuple[Tensor, ...]:
    """``for t in range(turns): carried = body(t, *carried)``; the carried values at the end.

    Args:
        turns: int64 scalar, at most the number of rows of the largest tensor that takes part: a stored program refuses
            more, so that it always ends.
        body: Takes the turn, an int64 scalar, and what is carried; gives that anew, in the same shapes, and never one
            of its inputs as it is.
        carried: What the first turn starts from.
    """
    if not torch.compiler.is_exporting():
        for turn in range(int(turns)):
            carried = body(torch.tensor(turn, device=turns.device), *carried)
        return carried
    from torch._higher_order_ops.while_loop import while_loop  # noqa: PLC0415 (imports the compiler: 1.6 s)

    _, *results = while_loop(  # type: ignore[no-untyped-call]
        lambda turn, *_: turn < turns,
        lambda turn, *values: (turn + 1, *body(turn, *values)),
        (turns.new_zeros(()), *carried),
    )
    return tuple(results)
