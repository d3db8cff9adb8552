"""The compiled kernels, the build for this processor."""

from __future__ import annotations

from typing import Any

from feature_generator.native import load_native

_native: Any = load_native("easyrec.embedding")

Bags = _native.Bags
Call = _native.Call
Counting = _native.Counting
Eviction = _native.Eviction
KeyMap = _native.KeyMap
Rule = _native.Rule
Start = _native.Start
Step = _native.Step
Sums = _native.Sums
Tables = _native.Tables
Tier = _native.Tier
find_keys = _native.find_keys
key_slots = _native.key_slots
row_ids = _native.row_ids
start_rows = _native.start_rows
wanted = _native.wanted
