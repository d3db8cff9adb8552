"""What servers write to stderr: a JSON object a line."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import datetime, timezone

import orjson


class Lines(logging.Formatter):
    """A record as a JSON object: time, level, event, and what else it was given as `told`.

    Of an error its place in the code is written, and not its text, which may be a value of a request.
    """

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


def to_stderr(levels: Mapping[str, str]) -> None:
    """Send the records of some loggers there.

    Args:
        levels: The least level that is written, by a logger's name.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    for name, least in levels.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(least)
