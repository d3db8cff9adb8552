"""Instruction sets: which builds of the kernels this processor runs. Knows only the standard library."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

NEEDS = {
    "_v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    "_v3": {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"},
}
"""Beyond x86-64-v2: suffix of the build and the processor flags that it needs besides those of the next one."""


def builds() -> list[str]:
    """Suffixes of the builds that this processor runs, the best first; the last is the plain one, ``""``."""
    found = flags()
    runs: list[str] = []
    for suffix, needs in reversed(NEEDS.items()):
        if not needs <= found:
            break
        runs.insert(0, suffix)
    return [*runs, ""]


@cache
def flags() -> frozenset[str]:
    """Instruction sets of this processor as the system names them; empty where it does not tell."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        return frozenset()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())
