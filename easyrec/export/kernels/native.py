"""The compiled kernels, the build for this processor."""

from __future__ import annotations

from typing import Any

from feature_generator.native import load_native

_native: Any = load_native("easyrec.export")

Program = _native.Program
