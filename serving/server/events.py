"""What the server writes to stderr: a JSON object a line."""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import datetime, timezone
from typing import Any

import orjson

logger = logging.getLogger("serving.server")


def tell(level: int, event: str, error: BaseException | None = None, **told: Any) -> None:
    """Write an event.

    Args:
        level: Of `logging`.
        event: What happened, in plain words that are always the same.
        error: What was raised; its place in the code is written, and not its text, which may be a value of a request.
        told: What else is to be written.
    """
    logger.log(level, event, exc_info=error, extra={"told": told})


class Lines(logging.Formatter):
    """A record as a JSON object: time, level, event, and what else it was given."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "process": record.process,
            **getattr(record, "told", {}),
        }
        if record.exc_info:
            line["error"] = record.exc_info[0].__name__ if record.exc_info[0] else ""
            frames = traceback.extract_tb(record.exc_info[2])
            line["where"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return orjson.dumps(line, default=str).decode()


def write_events(level: str) -> None:
    """Send the server's and uvicorn's records to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    for name, least in (("serving", level.upper()), ("uvicorn", "WARNING")):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(least)
