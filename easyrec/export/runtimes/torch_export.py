"""`torch_export`: the captured program as a list of calls, run by torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from easyrec.batch import as_tensor
from easyrec.export.calls import Program
from easyrec.export.runtimes import Run

PACKAGES: dict[str, str] = {}
TOLERANCE = 1e-6
PRECISIONS = ("fp32",)
NATIVE = False
SUMS = False


def write(program: Program, inputs: Mapping[str, Tensor], folder: Path, precision: str) -> dict[str, str]:
    """Write the calls and their weights."""
    program.save(folder)
    return {}


def load(folder: Path) -> Run:
    """What was written."""
    program = Program.load(folder)

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = program({name: as_tensor(inputs[name]) for name in program.inputs})
        return {name: tensor.numpy() for name, tensor in found.items()}

    return run
