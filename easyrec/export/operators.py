"""Operators that a stored program may call: Core ATen, a few more, and integer arithmetic. A closed list.

Core ATen is the set into which torch decomposes every exportable model. Operators with an effect beyond their result
(writing into an argument, files, random numbers) are not in it or are refused, so a program can compute and no more.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch._ops import OpOverload

from easyrec.errors import BundleError

PYTHON: dict[str, Callable[..., Any]] = {
    "getitem": operator.getitem,
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": operator.floordiv,
    "truediv": operator.truediv,
    "mod": operator.mod,
    "neg": operator.neg,
    "sym_max": max,
    "sym_min": min,
    "sym_int": int,
    "sym_float": float,
}
"""Arithmetic on sizes, and the choice of one result among several."""

KEPT = (
    "aten.linear.default",
    "aten.matmul.default",
    "aten.index_add.default",
    "aten.segment_reduce.default",
    "aten.zeros.default",
    "aten.baddbmm.default",
    "aten.stack.default",
    "aten.addcmul.default",
    "aten.square.default",
)
"""Called as they are, beside Core ATen: their decompositions are slower, or there are none."""

_NAME = re.compile(r"^aten\.([a-z_0-9]+)\.([A-Za-z_0-9]+)$")


@cache
def find(name: str) -> Callable[..., Any]:
    """The function of an operator's name: `aten.linear.default`, or one of `PYTHON`.

    Raises:
        BundleError: A program may not call it, or this torch has no such operator.
    """
    if name in PYTHON:
        return PYTHON[name]
    match = _NAME.match(name)
    packet = getattr(torch.ops.aten, match.group(1), None) if match else None
    overload = getattr(packet, match.group(2), None) if match else None
    if not isinstance(overload, OpOverload):
        raise BundleError(f"the program calls '{name[:100]}', which torch {torch.__version__} does not have")
    if not allowed(overload):
        raise BundleError(f"the program calls '{name}', which is not among the operators that a program may call")
    return overload


def allowed(overload: OpOverload) -> bool:
    """Whether a program may call the operator."""
    core = torch.Tag.core in overload.tags or str(overload) in KEPT
    random = torch.Tag.nondeterministic_seeded in overload.tags
    return core and not random and not overload._schema.is_mutable
