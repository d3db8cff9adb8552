"""An ONNX model that runs. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from easyrec.errors import BundleError, MissingExtra

MODEL = "model.onnx"
OUTPUT = "out."
"""In front of the tasks' names: a task may be called like an input."""
_ERRORS = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")


class Session:
    """A model of a bundle, run by one thread per call. Safe to call from several threads.

    Args:
        file: The model. Its weights are inside: a file that it names is not read.

    Raises:
        MissingExtra: ONNX Runtime is not installed.
        BundleError: The model is damaged, or not one that this ONNX Runtime reads.
    """

    def __init__(self, file: Path) -> None:
        try:
            import onnxruntime  # noqa: PLC0415 (an extra)
            from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtra("onnxruntime", "onnx") from error
        own = (getattr(state, name) for name in _ERRORS)
        self._errors: tuple[type[Exception], ...] = (*own, LookupError, TypeError, ValueError)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong is raised
        try:
            self._session: Any = onnxruntime.InferenceSession(file.read_bytes(), options, ["CPUExecutionProvider"])
        except self._errors as error:
            raise BundleError(f"{file}: cannot be read: {_first(error)}") from None
        except OSError as error:
            raise BundleError(f"{file}: cannot be read: {error.strerror}") from None
        self.inputs = tuple(put.name for put in self._session.get_inputs())
        self._results = [put.name for put in self._session.get_outputs()]
        self._tasks = [name.removeprefix(OUTPUT) for name in self._results]

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Predictions by task, float32.

        Raises:
            BundleError: The model does not fit its inputs.
        """
        try:
            found = self._session.run(self._results, {name: inputs[name] for name in self.inputs})
        except self._errors as error:
            raise BundleError(f"the model cannot be run: {_first(error)}") from error
        return dict(zip(self._tasks, found, strict=True))


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
