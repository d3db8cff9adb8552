"""Steps of a bundle that run. Knows no torch.

    steps.json       {"format": 1, "inputs": [name, ...], "values": [[once, width], ...], "constants": [size, ...],
                     "steps": [{"kind": ..., "out": value, "x": value, ...}, ...], "outputs": {task: {"value": n, "shape": [...]}}}
    constants.npy    all constants behind each other, float32

Values are numbered: inputs first, then constants, then what steps make; `once` tells of a value that it has one row for
all. `program.h` says what the parts of a step are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from easyrec.errors import BundleError
from easyrec.export.kernels import native
from easyrec.export.kernels.sums import Given
from easyrec.export.strict_json import read_json

FORMAT = 1
STEPS, CONSTANTS = "steps.json", "constants.npy"


class Session:
    """The steps in a folder. Safe to call from several threads.

    Args:
        folder: What `steps.write` wrote.

    Attributes:
        given: What a program for requests is given in place of fields; None: they are as usual.

    Raises:
        BundleError: A file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        file, self.given = folder / STEPS, Given.load(folder)
        data = read_json(file)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise BundleError(f"{file}: holds no steps of format {FORMAT}")
        try:
            numbers = np.load(folder / CONSTANTS, allow_pickle=False)
            if numbers.dtype != np.float32 or numbers.ndim != 1 or sum(data["constants"]) != len(numbers):
                raise ValueError(f"{CONSTANTS} holds other constants")
            constants = np.split(numbers, np.cumsum(data["constants"])[:-1]) if data["constants"] else []
            self.inputs = tuple(str(name) for name in data["inputs"])
            self._outputs = {name: tuple(output["shape"]) for name, output in data["outputs"].items()}
            values = [(bool(once), int(width)) for once, width in data["values"]]
            wanted = [output["value"] for output in data["outputs"].values()]
            self._program = native.Program(values, len(self.inputs), constants, data["steps"], wanted)
            self._counted = next(name for name, (once, _) in zip(self.inputs, values, strict=False) if not once)
        except OSError as error:
            raise BundleError(f"{folder / CONSTANTS}: cannot be read: {error}") from None
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, StopIteration) as error:
            raise BundleError(f"{file}: is damaged: {error}") from None

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Predictions by task, float32.

        Raises:
            BundleError: The inputs are not those of the program.
        """
        try:
            rows = len(inputs[self._counted])
            found = self._program.run([inputs[name] for name in self.inputs], rows)
        except (LookupError, TypeError, ValueError) as error:
            raise BundleError(f"the steps cannot be run: {error}") from error
        return {
            name: array.reshape(rows, *shape) for (name, shape), array in zip(self._outputs.items(), found, strict=True)
        }
