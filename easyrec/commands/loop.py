"""Learn online: logs become samples, samples a model, and the model is served if it passes the gate.

easyrec loop run -c loop.yaml
easyrec loop status -c loop.yaml
easyrec loop rollback -c loop.yaml
easyrec loop step join -c loop.yaml
"""

from __future__ import annotations

DEFAULT = "run"
"""The tool of a command line that names none. Each tool is a file `_loop_<tool>.py` with `configure` and `run`."""
