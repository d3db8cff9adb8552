"""`hanging`: a source of candidates that never answers, for `benchmarks/engine.py`."""

from __future__ import annotations

import threading
from typing import Literal

from serving.engine.ask import Ask
from serving.engine.recall import Found, Recall, RecallConfig


class Config(RecallConfig):
    """Config of `hanging`."""

    type: Literal["hanging"] = "hanging"


class Hanging(Recall):
    """Waits for what never comes."""

    def recall(self, ask: Ask, count: int) -> Found:
        """See the contract."""
        threading.Event().wait()
        raise AssertionError
