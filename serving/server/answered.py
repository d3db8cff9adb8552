"""What is kept of an answered request: counters, times by stage, and a line in the log where that was asked for."""

from __future__ import annotations

import logging
import random
import time
from typing import Any

from serving.server.config import LogConfig
from serving.server.events import tell
from serving.server.http import Request
from serving.server.metrics import Metrics


def note(metrics: Metrics, log: LogConfig, request: Request, endpoint: str, status: int, reason: str) -> None:
    """Count an answered request, and tell of it.

    Args:
        metrics: Where it is counted.
        log: Which requests get a line.
        request: It.
        endpoint: The path that answered.
        status: Of the answer.
        reason: Why it was refused; empty: it was not.
    """
    total = time.perf_counter() - request.started
    labels = {"model": request.model, "endpoint": endpoint, "status": str(status)}
    metrics.add("easyrec_requests_total", 1.0, **labels)
    if reason:
        metrics.add("easyrec_refused_total", reason=reason)
    if request.times:
        stages = {**request.times, "total": total}
        named = [((("model", request.model), ("stage", stage)), seconds) for stage, seconds in stages.items()]
        metrics.observe_all("easyrec_stage_seconds", named)
    slow = log.slow_ms is not None and total * 1000.0 > log.slow_ms
    if slow or (log.requests and random.random() < log.requests):  # noqa: S311 (a sample, no secret)
        stages_ms = {f"{stage}_ms": round(seconds * 1000.0, 3) for stage, seconds in request.times.items()}
        told: dict[str, Any] = {
            **labels,
            "version": request.version,
            "reason": reason,
            "total_ms": round(total * 1000.0, 3),
            **stages_ms,
        }
        tell(logging.WARNING if slow else logging.INFO, "slow request" if slow else "request", **told)
