"""Look at a work queue that several workers share, or remove it.

easyrec queue status work
easyrec queue status 'redis://:${REDIS_PASSWORD}@host:6379/0?name=scores'
easyrec queue remove sqlite:work.db
"""

from __future__ import annotations

DEFAULT = "status"
"""The tool of a command line that names none. Each tool is a file `_queue_<tool>.py` with `configure` and `run`."""
