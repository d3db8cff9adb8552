"""The compiled kernels, in the best build that this processor runs."""

from __future__ import annotations

import importlib
import importlib.util
import platform
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

_NEEDS = {
    "_v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    "_v3": {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"},
}


@cache
def _flags() -> frozenset[str]:
    """Instruction sets of this processor as the system names them; empty where it does not tell."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        return frozenset()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


def load_native(package: str, name: str = "_native") -> ModuleType:
    """The module `<package>.<name>` built for the widest instruction set that the processor has.

    Raises:
        ImportError: No build is there.
    """
    flags = _flags()
    suffixes = [suffix for suffix, needs in _NEEDS.items() if needs <= flags and (suffix != "_v4" or _NEEDS["_v3"] <= flags)]
    for suffix in [*suffixes, ""]:
        if importlib.util.find_spec(f"{package}.{name}{suffix}") is not None:
            return importlib.import_module(f"{package}.{name}{suffix}")
    raise ImportError(f"the compiled kernels of {package} are missing; build them with: python setup.py build_ext --inplace")


_native: Any = load_native("feature_generator")

Plan = _native.Plan
murmur64a = _native.murmur64a
fingerprint64 = _native.fingerprint64
take_rows = _native.take_rows
take_offsets = _native.take_offsets
take_items = _native.take_items
