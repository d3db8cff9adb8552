"""`kernels`: the program as steps of our compiled kernels. Needs nothing but them, no torch."""

from __future__ import annotations

from pathlib import Path

from easyrec.export.kernels.session import Session


def load(folder: Path, sessions: int | None = None) -> Session:
    """The steps in `folder`.

    Raises:
        BundleError: They are damaged.
    """
    return Session(folder)
