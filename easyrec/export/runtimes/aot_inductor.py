"""`aot_inductor`: the program as machine code for this processor and this torch, in bf16 with products in bf16."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from easyrec.export.calls import Program
from easyrec.export.host import described
from easyrec.export.inductor import Package, compile_program
from easyrec.export.runtimes import Run

PACKAGES: dict[str, str] = {}
TOLERANCE = 1e-5
PRECISIONS = ("fp32", "bf16")
NATIVE = True
SUMS = False


def write(program: Program, inputs: Mapping[str, Tensor], folder: Path, precision: str) -> dict[str, str]:
    """Compile the program; it takes some tens of seconds.

    Raises:
        RunError: It cannot be compiled.
    """
    compile_program(program, inputs, folder, bf16=precision == "bf16")
    return described()


def load(folder: Path) -> Run:
    """What was written."""
    return Package(folder)
