"""Curves for TensorBoard, where it is installed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easyrec.errors import MissingExtra

logger = logging.getLogger("easyrec.train")


class TensorBoard:
    """Scalars in a folder of event files; without the package one line says so and nothing is written.

    Args:
        path: Folder of the event files; None: nothing is written.
        step: Steps done; points after it, of a run that was interrupted, are dropped.
    """

    def __init__(self, path: Path | None, step: int = 0) -> None:
        self._writer: Any = None
        if path is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 (an optional extra)
        except ImportError:
            logger.info("no TensorBoard curves: %s", MissingExtra("tensorboard", "tensorboard"))
            return
        self._writer = SummaryWriter(str(path), purge_step=step + 1 if step else None)

    def write(self, scalars: Mapping[str, float], step: int) -> None:
        """Add a point to each curve."""
        if self._writer is not None:
            for name, value in scalars.items():
                self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """Write what is buffered."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Write what is buffered and close the file."""
        if self._writer is not None:
            self._writer.close()
