"""Drive an engine with simulated users whose tastes are known, or make a first log, catalogue and configs of nothing.

easyrec simulate -c simulate.yaml
easyrec simulate -c simulate.yaml --policy popular
easyrec simulate bootstrap -c simulate.yaml --output shop
"""

from __future__ import annotations

DEFAULT = "run"
"""The tool of a command line that names none. Each tool is a file `_simulate_<tool>.py` with `configure` and `run`."""
