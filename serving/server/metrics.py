"""Counters and histograms, and the text that Prometheus reads; those of several processes add up.

Every process writes its numbers into a file of its own, about once a second; whoever is asked reads all of them. A
process that was killed leaves its file, so that what it counted is not lost.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from easyrec import prometheus
from easyrec.prometheus import Labels
from serving.server.events import tell

__all__ = ["BOUNDS", "HELP", "Board", "Labels", "Metrics", "exposition", "is_alive"]

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
STORE_SECONDS = (0.0001, 0.0002, *SECONDS)
DIFFERENCES = (0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
HELP: dict[str, tuple[str, str]] = {
    "easyrec_requests_total": ("counter", "Requests that were answered, by model, endpoint and status."),
    "easyrec_items_total": ("counter", "Candidates that were scored."),
    "easyrec_refused_total": ("counter", "Requests that were answered with an error, by reason."),
    "easyrec_stage_seconds": ("histogram", "Time of requests by stage; total is from the first byte to the answer."),
    "easyrec_batch_rows": ("histogram", "Rows of batches that were put together of several requests."),
    "easyrec_waiting": ("gauge", "Requests that wait for a thread."),
    "easyrec_running": ("gauge", "Requests that are being scored."),
    "easyrec_processes": ("gauge", "Processes that answer."),
    "easyrec_model_info": ("gauge", "Versions that are served, by processes; the digest names the bundle."),
    "easyrec_model_loads_total": ("counter", "Bundles and deltas that were loaded or refused, and rollbacks."),
    "easyrec_values_total": ("counter", "Values of requests that were missing, unknown or bad, by column or feature."),
    "easyrec_shadow_total": ("counter", "Requests that a shadow version scored, skipped or failed to."),
    "easyrec_shadow_difference": ("histogram", "Largest difference of a request's scores between answer and shadow."),
    "easyrec_request_log_total": ("counter", "Requests that were sampled: written, or dropped."),
    "easyrec_drift_psi": ("gauge", "Population stability index of scores and features against training."),
    "easyrec_canary_total": ("counter", "Canaries that were withdrawn: rolled back, or taken out."),
    "easyrec_cache_rows": ("gauge", "What a cache holds, of all processes."),
    "easyrec_cache_bytes": ("gauge", "Bytes of what a cache holds, of all processes."),
    "easyrec_cache_age_seconds": (
        "gauge",
        "Seconds since a catalogue was filled or the oldest entry was made; the largest.",
    ),
    "easyrec_cache_hits_total": ("counter", "What a cache was asked for and held."),
    "easyrec_cache_misses_total": ("counter", "What a cache was asked for and did not hold."),
    "easyrec_cache_evicted_total": ("counter", "What a cache left out for want of room."),
    "easyrec_cache_refreshes_total": (
        "counter",
        "Times that the items of a catalogue were read anew, or could not be.",
    ),
    "easyrec_store_rows_total": ("counter", "Keys that a view was asked for: hits, misses, expired, defaulted."),
    "easyrec_store_read_seconds": ("histogram", "Time of reads of a feature store, by entity: all its views at once."),
    "easyrec_store_event_age_seconds": ("gauge", "Seconds since the latest event time that was published of a view."),
    "easyrec_store_memory_rows": ("gauge", "Records that are held in memory, of all processes."),
    "easyrec_store_memory_bytes": ("gauge", "Bytes of records that are held as a snapshot, of all processes."),
    "easyrec_store_memory_total": ("counter", "What memory in front of a store counted, by kind."),
    "easyrec_store_poll_lag_seconds": ("gauge", "Seconds since which changes may not have been seen; the largest."),
    "easyrec_store_breaker_open": ("gauge", "1 where a store is not asked, as it has failed; the largest."),
    "easyrec_store_breaker_opened_total": ("counter", "Times that a store was no longer asked."),
    "easyrec_engine_lists_total": ("counter", "Lists that were answered, by scene, and whether nothing was left out."),
    "easyrec_engine_degraded_total": ("counter", "Stages that were left out of a list, by stage and reason."),
    "easyrec_engine_stage_seconds": ("histogram", "Time of a list by stage; sources of candidates run side by side."),
    "easyrec_engine_items_total": ("counter", "Candidates that went into a stage, and that came out."),
    "easyrec_engine_events_total": ("counter", "Events that were taken, by type; those that came twice count once."),
    "easyrec_engine_record_total": (
        "counter",
        "Lines of exposures and events: written, failed, dropped, or recovered of a process that died.",
    ),
    "easyrec_rewrites_total": (
        "counter",
        "Queries that were rewritten, by where the rewrites come from, and why they are not the model's.",
    ),
    "easyrec_model_tokens": ("gauge", "Tokens that a language model has taken since the server began."),
    "easyrec_model_cost": ("gauge", "What these cost, by the model's price."),
    "easyrec_worker_restarts_total": ("counter", "Processes that died and were started again."),
}
BOUNDS = {
    "easyrec_stage_seconds": SECONDS,
    "easyrec_engine_stage_seconds": STORE_SECONDS,
    "easyrec_batch_rows": (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0),
    "easyrec_shadow_difference": DIFFERENCES,
    "easyrec_store_read_seconds": STORE_SECONDS,
}
LARGEST = frozenset(
    {
        "easyrec_drift_psi",
        "easyrec_cache_age_seconds",
        "easyrec_store_event_age_seconds",
        "easyrec_store_poll_lag_seconds",
        "easyrec_store_breaker_open",
    }
)
"""Gauges of which the largest of all processes is told, not the sum."""


class Metrics(prometheus.Metrics):
    """The numbers of one process of a server. Safe to use from several threads."""

    def __init__(self) -> None:
        super().__init__(BOUNDS)


class Board:
    """Where the processes of a server leave their numbers.

    Args:
        folder: It; one file per process.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._refused = folder, False
        folder.mkdir(parents=True, exist_ok=True)

    def tell(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write this process' numbers and give them: what was told once is not lost with the process, so no counter falls.

        A disk that refuses is told in the log, once; numbers go on.
        """
        try:
            self.post(state)
            self._refused = False
        except OSError as error:
            if not self._refused:
                self._refused = True
                tell(logging.ERROR, "the numbers cannot be shared", why=str(error))
        return state

    def post(self, state: Mapping[str, Any], pid: int | None = None) -> None:
        """Write a process' numbers, whole or not at all."""
        target = self.folder / f"{pid or os.getpid()}.json"
        written = target.with_suffix(".writing")
        written.write_bytes(orjson.dumps(state))
        written.replace(target)

    def others(self) -> list[dict[str, Any]]:
        """What the other processes wrote, and whether they are `alive`; of those that are not, without gauges."""
        found = []
        for path in self.folder.glob("*.json"):
            pid = int(path.stem)
            if pid == os.getpid():
                continue
            try:
                state = orjson.loads(path.read_bytes())
            except (OSError, orjson.JSONDecodeError):
                continue
            state["alive"] = is_alive(pid)
            if not state["alive"]:
                state["gauges"] = []
            found.append(state)
        return found


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return True
    return stat.rpartition(")")[2].split()[0] != "Z"


def exposition(states: Iterable[Mapping[str, Any]]) -> bytes:
    """The text that Prometheus reads, of the sum of several processes' numbers."""
    return prometheus.exposition(states, HELP, BOUNDS, LARGEST)
