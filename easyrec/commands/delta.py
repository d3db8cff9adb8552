"""Write what changed between two bundles, small where few rows did, and make the newer of the older one.

easyrec delta make bundles/monday bundles/tuesday --output deltas/tuesday
easyrec delta apply bundles/monday deltas/tuesday --output bundles/tuesday
"""

from __future__ import annotations

DEFAULT = "make"
"""The tool of a command line that names none. Each tool is a file `_delta_<tool>.py` with `configure` and `run`."""
