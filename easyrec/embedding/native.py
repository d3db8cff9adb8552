"""The compiled kernels, the build for this processor."""

from __future__ import annotations

from typing import Any

from feature_generator.native import load_native

_native: Any = load_native("easyrec.embedding")

Bags = _native.Bags
Call = _native.Call
Rule = _native.Rule
Step = _native.Step
Tables = _native.Tables
row_ids = _native.row_ids
