"""Runtimes: what runs a bundle's dense part, one a file; the file's name is the runtime's name in the manifest.

A member defines `load(folder: Path) -> Runtime`; its imports are its own affair, so that a predictor over one
runtime needs nothing of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from easyrec.errors import BundleError, nearest
from feature_generator.config import member, members


class Runtime(Protocol):
    """The dense part of a model. Safe to call from several threads."""

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Predictions by task, (B,) or (B, num_classes) float32.

        Args:
            inputs: The flat dict of embedded inputs.
        """
        ...


def load(name: str, folder: Path) -> Runtime:
    """The runtime `name` over its folder of a bundle.

    Raises:
        BundleError: There is no such runtime, or the folder does not hold what it needs.
    """
    if name not in members(__name__):
        hint = nearest(name, members(__name__)) or f"; known: {', '.join(members(__name__))}"
        raise BundleError(f"no runtime is called '{name}'{hint}")
    runtime: Runtime = member(__name__, name).load(folder)
    return runtime
