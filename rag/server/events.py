"""What the server writes to stderr: a JSON object a line, without what anybody asked, wrote or was answered."""

from __future__ import annotations

import logging
from typing import Any

from easyrec.event_lines import to_stderr

logger = logging.getLogger("rag.server")


def tell(level: int, event: str, error: BaseException | None = None, **told: Any) -> None:
    """Write an event.

    Args:
        level: Of `logging`.
        event: What happened, in plain words that are always the same.
        error: What was raised: its place in the code is written, and not its text, which may be somebody's words.
        told: What else is to be written.
    """
    logger.log(level, event, exc_info=error, extra={"told": told})


def write_events(level: str) -> None:
    """Send the server's and uvicorn's records to stderr."""
    to_stderr({"rag.server": level.upper(), "uvicorn": "WARNING"})
