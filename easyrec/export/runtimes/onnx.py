"""`onnx`: the program as an ONNX model, in int8 with weights rounded once and activations as they come."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from easyrec.export.calls import Program
from easyrec.export.onnx.session import MODEL, Session
from easyrec.export.runtimes import Run

PACKAGES = {"onnx": "onnx", "onnxruntime": "onnx"}
TOLERANCE = 1e-5
PRECISIONS = ("fp32", "int8")
NATIVE = False
SUMS = False


def write(program: Program, inputs: Mapping[str, Tensor], folder: Path, precision: str) -> dict[str, str]:
    """Write the model.

    Raises:
        RunError: A call has no counterpart in ONNX; names it.
    """
    from easyrec.export.onnx.model import convert, quantize  # noqa: PLC0415 (an extra)

    model = convert(program, inputs)
    if precision == "int8":
        model = quantize(model)
    (folder / MODEL).write_bytes(model.SerializeToString())
    return {}


def load(folder: Path) -> Run:
    """What was written."""
    return Session(folder / MODEL)
