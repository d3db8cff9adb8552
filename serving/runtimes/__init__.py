"""Runtimes: what runs a bundle's dense part, one a file; the file's name is the runtime's name in the manifest.

A member defines `load(folder: Path, sessions: int | None = None) -> Runtime`; its imports are its own affair, so that a predictor over one
runtime needs nothing of the others.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from easyrec.errors import BundleError, MissingExtra, Unusable, nearest
from easyrec.export.bundle import Bundle
from easyrec.export.host import unfit
from feature_generator.config import member, members

logger = logging.getLogger("serving")
NATIVE = ("aot_inductor",)
"""Runtimes that run machine code, whatever a manifest says of them."""


class Runtime(Protocol):
    """The dense part of a model. Safe to call from several threads."""

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Predictions by task, (B,) or (B, num_classes) float32.

        Args:
            inputs: The flat dict of embedded inputs.
        """
        ...


def load(name: str, folder: Path, sessions: int | None = None) -> Runtime:
    """The runtime `name` over its folder of a bundle.

    Args:
        name: Its name.
        folder: Its folder.
        sessions: Calls that run at a time, where it needs a runner for each; default: as it thinks best.

    Raises:
        BundleError: There is no such runtime, or the folder does not hold what it needs.
        Unusable: It cannot be used here.
    """
    if name not in members(__name__):
        hint = nearest(name, members(__name__)) or f"; known: {', '.join(members(__name__))}"
        raise BundleError(f"no runtime is called '{name}'{hint}")
    try:
        runtime: Runtime = member(__name__, name).load(folder, sessions)
    except ModuleNotFoundError as error:
        raise Unusable(f"it needs the package '{error.name}', which is not installed") from error
    except MissingExtra as error:
        raise Unusable(str(error)) from error
    return runtime


def choose(
    bundle: Bundle, wanted: str | None = None, *, trust_native: bool = False, sessions: int | None = None
) -> tuple[str, Runtime]:
    """The runtime that is wanted; else the bundle's choice, or where that cannot be used here, its next fastest.

    Args:
        bundle: What is served.
        wanted: The name of a runtime.
        trust_native: Load machine code that the bundle holds: it does what its writer wants.
        sessions: As `load` takes them.

    Raises:
        BundleError: The bundle has not the runtime that is wanted, or none that can be used, or its files are damaged.
    """
    entries = bundle.manifest.runtimes
    if wanted is not None and wanted not in entries:
        raise BundleError(f"{bundle.path}: has no runtime '{wanted}', only {', '.join(entries)}")
    others = sorted(entries, key=lambda name: (name != bundle.manifest.runtime, entries[name].milliseconds or 1e9))
    refused = []
    for name in others if wanted is None else [wanted]:
        try:
            native = entries[name].native or name in NATIVE
            if native and not trust_native:
                raise Unusable(
                    "it is machine code, and the bundle is not trusted: sign it, or load it with trust_native=True"
                )
            misfit = unfit(entries[name].built_for) if native else ""
            if misfit:
                raise Unusable(misfit)
            found = load(name, bundle.folder(entries[name].folder), sessions)
        except Unusable as error:
            refused.append(f"runtime '{name}': {error}")
            continue
        if refused:
            logger.warning("%s: taking runtime '%s' instead of %s", bundle.path, name, "; ".join(refused))
        return name, found
    raise BundleError(f"{bundle.path}: cannot be run here: {'; '.join(refused)}")
