"""Count events into feature views as they come, and join exposures with what followed them.

easyrec stream run -c store.yaml user_clicks
easyrec stream run -c store.yaml user_clicks --until end
easyrec stream join -c store.yaml ctr
easyrec stream sql -c store.yaml ctr --dialect spark
"""

from __future__ import annotations

DEFAULT = "run"
"""The tool of a command line that names none. Each tool is a file `_stream_<tool>.py` with `configure` and `run`."""
