"""`session_auc`: AUC inside each session, averaged; `gauc` whose sessions count once each."""

from __future__ import annotations

from typing import Literal

from easyrec.metrics import gauc


class Config(gauc.Config):
    """Config of `session_auc`."""

    type: Literal["session_auc"] = "session_auc"  # type: ignore[assignment]  # another member's name
    weighting: Literal["plain", "samples", "positives"] = "plain"
    """How sessions are averaged: each once (`plain`), by their rows (`samples`), or by their positive rows
    (`positives`)."""


class SessionAUC(gauc.GAUC):
    """``sum_g w_g AUC_g / sum_g w_g`` over the sessions that hold both classes; all w are 1 unless `weighting` says else."""
