"""`torch_export`: the captured program, run by torch. Always there, and exact: the reference of the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from easyrec.batch import as_tensor
from easyrec.errors import BundleError
from easyrec.export.calls import Program


class TorchExport:
    """A program of ATen calls.

    Args:
        program: What to run.
    """

    def __init__(self, program: Program) -> None:
        self.program = program

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Predictions by task, float32.

        Raises:
            BundleError: The program does not fit its inputs.
        """
        try:
            outputs = self.program({name: as_tensor(inputs[name]) for name in self.program.inputs})
            return {name: tensor.numpy() for name, tensor in outputs.items()}
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"the program cannot be run: {str(error).splitlines()[0]}") from error


def load(folder: Path, sessions: int | None = None) -> TorchExport:
    """The program in `folder`.

    Raises:
        BundleError: It is damaged, or calls what a program may not call.
    """
    return TorchExport(Program.load(folder))
