"""The compiled kernels, in the best build that this processor runs."""

from __future__ import annotations

from typing import Any

from feature_generator.native import load_native

_native: Any = load_native("easyrec.statistics")

cosine = _native.cosine
swing = _native.swing
together = _native.together
Scores = _native.Scores
