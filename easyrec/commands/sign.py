"""Sign bundles and deltas, so that a server can tell yours from others.

easyrec sign key --output keys/release-2026
easyrec sign --bundle bundles/today --key keys/release-2026.pem
easyrec sign check --bundle bundles/today --trust serving.yaml
"""

from __future__ import annotations

DEFAULT = "bundle"
"""The tool of a command line that names none. Each tool is a file `_sign_<tool>.py` with `configure` and `run`."""
