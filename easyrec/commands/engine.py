"""Recommend: recall, rank and re-rank as one service, under experiments.

easyrec engine ab status -c engine.yaml
easyrec engine ab analyse -c engine.yaml --log logs --html report.html
"""

from __future__ import annotations

DEFAULT = "ab"
"""The tool of a command line that names none. Each tool is a file `_engine_<tool>.py` with `configure` and `run`."""
