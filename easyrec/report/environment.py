"""Where a run took place: machine, Python, versions."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from easyrec.errors import version as own_version
from easyrec.processors import num_processors


def environment() -> dict[str, str]:
    """Facts about this process's surroundings, for people to read; nothing that names a user, host or path."""
    facts = {
        "easyrec": own_version(),
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "processors": str(num_processors()),
        "memory": _memory(),
    }
    facts |= {package: _version(package) for package in ("torch", "numpy", "pyarrow", "pydantic")}
    return {name: text for name, text in facts.items() if text}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _memory() -> str:
    if sys.platform != "linux":
        return ""
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
