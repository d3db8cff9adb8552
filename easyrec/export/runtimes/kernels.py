"""`kernels`: the program as steps of our compiled kernels, in int8 with weights rounded once and rows as they come."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from easyrec.export.calls import Program
from easyrec.export.kernels.session import Session
from easyrec.export.kernels.steps import write as write_steps
from easyrec.export.runtimes import Run

PACKAGES: dict[str, str] = {}
TOLERANCE = 1e-5
PRECISIONS = ("fp32", "int8")
NATIVE = False
SUMS = True


def write(program: Program, inputs: Mapping[str, Tensor], folder: Path, precision: str) -> dict[str, str]:
    """Write the steps.

    Raises:
        RunError: A call is not one that the kernels can do row by row; names it.
    """
    write_steps(program, inputs, folder, rounded=precision == "int8")
    return {}


def load(folder: Path) -> Run:
    """What was written."""
    return Session(folder)
