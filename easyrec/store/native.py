"""The compiled codec."""

from __future__ import annotations

from typing import Any

from feature_generator.native import load_native

_native: Any = load_native("easyrec.store")

Reader = _native.Reader
Replay = _native.Replay
check_type = _native.check_type
joined = _native.joined
newest = _native.newest
pack = _native.pack
pack_events = _native.pack_events
parts = _native.parts
splice = _native.splice
sweep = _native.sweep
