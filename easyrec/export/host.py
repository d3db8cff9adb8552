"""What machine code is built for, and whether it fits this machine. Knows no torch."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from feature_generator.processor import flags


def described() -> dict[str, str]:
    """This machine: its processor's instructions, and the torch that machine code is linked to."""
    return {"machine": platform.machine(), "instructions": " ".join(sorted(flags())), "torch": _torch()}


def unfit(built_for: Mapping[str, str]) -> str:
    """Why machine code cannot run here; empty where it can.

    Args:
        built_for: What `described` gave where it was built.
    """
    if built_for.get("machine") != platform.machine():
        return f"it was built for {built_for.get('machine')}, this is {platform.machine()}"
    missing = sorted(set(built_for.get("instructions", "").split()) - flags())
    if missing:
        return f"it was built for another processor: this one has no {', '.join(missing[:3])}"
    if built_for.get("torch") != _torch():
        return f"it was built for torch {built_for.get('torch')}, here is {_torch() or 'none'}"
    return ""


def _torch() -> str:
    try:
        return version("torch")
    except PackageNotFoundError:
        return ""
