"""`aot_inductor`: machine code that AOTInductor made of the program. Runs what the bundle's writer wants."""

from __future__ import annotations

from pathlib import Path

from easyrec.export.inductor import Package


def load(folder: Path, sessions: int | None = None) -> Package:
    """The machine code in `folder`.

    Raises:
        BundleError: It is damaged.
    """
    return Package(folder, sessions)
