"""What a stream tells of itself: numbers as JSON, and as text that Prometheus reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Figures = Mapping[str, Mapping[str, float]]
"""By view and name."""
TOTALS = {
    "read": "events that were read",
    "counted": "events that count",
    "late": "events that came too late",
    "ahead": "events of the future",
    "filtered": "events that are not asked for",
    "duplicate": "events that came before",
    "malformed": "events that cannot be read",
    "keys_left": "keys of which nothing is left",
    "rows_written": "rows that were written",
    "rows_merged": "rows that were followed by another of their key before they were written",
    "rows_removed": "rows that were removed as nothing is left of their key",
    "rows_dropped": "rows for which the queue had no room",
    "rows_failed": "rows that cannot be written",
    "writes_failed": "writes that failed, and were tried again",
}
"""What only grows."""
LEVELS = {
    "backlog_events": "events that wait in the source, about",
    "backlog_rows": "rows that wait to be written",
    "oldest_seconds": "how long the oldest of them has waited",
    "behind_seconds": "from the watermark to now",
}
"""What rises and falls."""


def as_text(figures: Figures) -> str:
    """The text that Prometheus reads."""
    lines = []
    for names, kind, ending in ((TOTALS, "counter", "_total"), (LEVELS, "gauge", "")):
        for name, told in names.items():
            metric = f"easyrec_stream_{name}{ending}"
            lines += [f"# HELP {metric} {told}", f"# TYPE {metric} {kind}"]
            lines += [
                f'{metric}{{view="{view}"}} {values.get(name, 0):.17g}'
                for view, values in figures.items()
                if names is TOTALS or name in values
            ]
    return "\n".join(lines) + "\n"


class FiguresServer:
    """Answers `/metrics` and `/metrics.json`.

    Args:
        host: Where it listens.
        port: 0: any that is free.
        figures: What there is to tell.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, host: str, port: int, figures: Callable[[], Figures]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """Answer."""
                kind, text = "text/plain; version=0.0.4; charset=utf-8", ""
                if self.path == "/metrics":
                    text = as_text(figures())
                elif self.path == "/metrics.json":
                    kind, text = "application/json", json.dumps(figures())
                body = text.encode()
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = Thread(target=self._server.serve_forever, name="easyrec-figures", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
