"""How a loop is doing: what was learned and is served, how far behind, and what the gate said."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from easyrec.errors import EasyRecError, RunError
from easyrec.loop.config import LoopConfig
from easyrec.loop.joining import JOINED
from easyrec.loop.page import page
from easyrec.loop.publishing import served_by
from easyrec.loop.versions import Versions, read_manifest
from easyrec.loop.window import samples_of

logger = logging.getLogger("easyrec.loop")

HELP = {
    "served_version": "the version that is served",
    "served_behind_seconds": "event time between the newest exposure in the log and the newest sample that the served version learned",
    "served_age_seconds": "from the newest sample that the served version learned to now",
    "trained_behind_seconds": "the same as served_behind_seconds of the newest version that was trained",
    "joined_behind_seconds": "event time between the newest exposure in the log and the watermark of the samples",
    "backlog_bytes": "of logs, to be read",
    "waiting_exposures": "exposures whose samples are still to be made",
    "waiting_samples": "samples that no version has learned",
    "samples_total": "samples that were made",
    "malformed_total": "lines of the logs that could not be read",
    "late_total": "events that came too late",
    "duplicates_total": "events that came before",
    "versions_published_total": "versions that were served",
    "versions_refused_total": "versions that the gate refused",
    "versions_rolled_back_total": "rollbacks",
    "gate_value": "what the newest version reached",
    "gate_serving": "what the version that was served then reached on the same samples",
    "step_seconds": "how long a step of the newest version took",
    "restarts_total": "how often a process of the loop was started again",
    "heard_seconds": "since a process of the loop said that it is alive",
}


def status_of(loop: LoopConfig, clock: Callable[[], float] = time.time) -> dict[str, Any]:
    """What there is to tell, from the files of the loop alone: it may run or not.

    Args:
        loop: The loop.
        clock: Seconds since 1970.
    """
    versions, now = Versions(loop.folder), clock()
    joined = read_manifest(Path(loop.samples) / JOINED) or {}
    model, supervisor = (read_manifest(loop.folder / f"{name}.json") or {} for name in ("model", "supervisor"))
    served = served_by(Path(loop.publish.to)) or {}
    newest = versions.newest
    plan = {} if newest is None else versions.read(newest, "plan") or {}
    history = versions.history
    exposed = (joined.get("newest") or {}).get("exposure")
    exposed = None if exposed is None else exposed / 1e6
    watermark = joined.get("watermark")
    learned = served.get("trained_until")
    trained = None if newest is None else _trained(versions)
    counts: Mapping[str, int] = joined.get("counts") or {}
    waiting = samples_of(joined) - int(plan.get("samples") or 0) + int(plan.get("held", 0))
    ended = versions.ended(history)
    gates = [one for one in history if one["result"] in ("published", "refused")]
    figures = {
        "served_version": served.get("version"),
        "served_behind_seconds": _between(learned, exposed),
        "served_age_seconds": _between(learned, now),
        "trained_behind_seconds": _between(trained, exposed),
        "joined_behind_seconds": None
        if exposed is None or watermark is None or watermark < 0
        else round(exposed - watermark / 1e6, 3),
        "backlog_bytes": joined.get("backlog_bytes"),
        "waiting_exposures": joined.get("waiting"),
        "waiting_samples": waiting,
        "samples_total": counts.get("samples", 0),
        "malformed_total": _of(counts, "malformed"),
        "late_total": _of(counts, "late"),
        "duplicates_total": _of(counts, "duplicates"),
        "versions_published_total": ended.get("published", 0),
        "versions_refused_total": ended.get("refused", 0),
        "versions_rolled_back_total": len(versions.rollbacks),
        "gate_value": gates[-1]["value"] if gates else None,
        "gate_serving": gates[-1]["serving"] if gates else None,
    }
    steps = dict(gates[-1].get("seconds") or {}) if gates else {}
    steps["join"] = joined.get("seconds")
    children = supervisor.get("children") or {}
    return {
        "figures": figures,
        "metric": loop.gate.metric,
        "seconds": {name: value for name, value in steps.items() if value is not None},
        "heard": {
            name: round(now - told["at"], 1) for name, told in (("join", joined), ("model", model)) if "at" in told
        },
        "restarts": {name: told["restarts"] for name, told in children.items()},
        "served": served,
        "begun": _begun(versions),
        "counts": dict(counts),
        "history": history,
        "rollbacks": versions.rollbacks,
        "tables": {
            table.name: read_manifest(loop.folder / "tables" / f"{table.name}.json") or {} for table in loop.tables
        },
        "at": now,
    }


def _trained(versions: Versions) -> float | None:
    found = [
        versions.read(n, "plan") or {} for n in versions if versions.read(n, "train") and not versions.is_rolled_back(n)
    ]
    return max((one["trained_until"] for one in found if one.get("trained_until") is not None), default=None)


def _begun(versions: Versions) -> dict[str, Any] | None:
    number = versions.begun
    if number is None:
        return None
    done = [step for step in ("plan", "train", "gate", "publish") if versions.read(number, step) is not None]
    return {"version": number, "done": done}


def _between(milliseconds: float | None, seconds: float | None) -> float | None:
    return None if milliseconds is None or seconds is None else round(seconds - milliseconds / 1e3, 3)


def _of(counts: Mapping[str, int], what: str) -> int:
    return sum(number for name, number in counts.items() if name.endswith(f".{what}"))


def as_text(status: Mapping[str, Any]) -> str:
    """The text that Prometheus reads."""
    lines: list[str] = []
    labelled = {
        "step_seconds": ("step", "seconds"),
        "restarts_total": ("process", "restarts"),
        "heard_seconds": ("process", "heard"),
    }
    for name, told in HELP.items():
        values: list[tuple[str, Any]]
        if name in labelled:
            label, key = labelled[name]
            values = [(f'{{{label}="{which}"}}', value) for which, value in status[key].items()]
        else:
            shown = f'{{metric="{status["metric"]}"}}' if name.startswith("gate_") else ""
            values = [(shown, status["figures"][name])]
        values = [(shown, value) for shown, value in values if value is not None]
        if values:
            metric = f"easyrec_loop_{name}"
            lines += [f"# HELP {metric} {told}", f"# TYPE {metric} {'counter' if name.endswith('_total') else 'gauge'}"]
            lines += [f"{metric}{shown} {value:.17g}" for shown, value in values]
    return "\n".join(lines) + "\n"


def rows_of(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What people are told, name and value."""
    for name, value in status["figures"].items():
        if value is not None:
            yield (
                name.removesuffix("_total").replace("_", " "),
                f"{value:,}" if isinstance(value, int) else f"{value:,.5g}",
            )


class StatusServer:
    """Answers `/metrics`, `/status.json`, and the dashboard at `/`.

    Args:
        loop: The loop.

    Attributes:
        host, port: Where it listens.

    Raises:
        RunError: The port is taken.
    """

    def __init__(self, loop: LoopConfig) -> None:
        assert loop.status is not None

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                """Answer."""
                self._answer(with_body=True)

            def do_HEAD(self) -> None:
                """Answer without a body."""
                self._answer(with_body=False)

            def _answer(self, *, with_body: bool) -> None:
                path = self.path.partition("?")[0]
                code, kind, text = 404, "text/plain; charset=utf-8", "there is no such page\n"
                try:
                    if path == "/metrics":
                        code, kind, text = 200, "text/plain; version=0.0.4; charset=utf-8", as_text(status_of(loop))
                    elif path == "/status.json":
                        code, kind, text = 200, "application/json", json.dumps(status_of(loop))
                    elif path == "/health":
                        code, kind, text = 200, "application/json", "{}"
                    elif path == "/":
                        code, kind, text = 200, "text/html; charset=utf-8", page(loop, status_of(loop))
                except EasyRecError as error:
                    code, text = 503, f"{error}\n"
                except Exception:  # the process edge: it is told in the log, not to the client
                    logger.exception("the status cannot be told")
                    code, text = 500, "an internal error; the log tells more\n"
                body = text.encode()
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("X-Content-Type-Options", "nosniff")
                self.end_headers()
                if with_body:
                    self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Nothing."""

        try:
            self._server = ThreadingHTTPServer((loop.status.host, loop.status.port), Handler)
        except OSError as error:
            raise RunError(f"cannot listen on {loop.status.host}:{loop.status.port}: {error.strerror}") from error
        self.host, self.port = loop.status.host, int(self._server.server_address[1])
        self._thread = Thread(target=self._server.serve_forever, name="easyrec-loop-status", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
