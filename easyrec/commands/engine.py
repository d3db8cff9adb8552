"""The recommendation engine: a request in, a ranked list out within its deadline, under experiments.

easyrec engine check -c engine.yaml
easyrec engine serve -c engine.yaml
easyrec engine recommend -c engine.yaml --user 4711
easyrec engine trace -c engine.yaml --user 4711
easyrec engine ab analyse -c engine.yaml --log logs --html report.html
"""

from __future__ import annotations

DEFAULT = "serve"
"""The tool of a command line that names none. Each tool is a file `_engine_<tool>.py` with `configure` and `run`."""
