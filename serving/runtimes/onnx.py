"""`onnx`: the program as an ONNX model, run by ONNX Runtime. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from easyrec.export.onnx.session import MODEL, Session


def load(folder: Path, sessions: int | None = None) -> Session:
    """The model in `folder`.

    Raises:
        MissingExtra: ONNX Runtime is not installed.
        BundleError: It is damaged.
    """
    return Session(folder / MODEL)
