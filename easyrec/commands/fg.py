"""Show, run, explain, compare and measure the features of a config.

Without a tool it is `easyrec fg show`:

    easyrec fg -c config.yaml --rows 3
    easyrec fg run -c config.yaml --input rows.parquet --output encoded.parquet
"""

from __future__ import annotations

DEFAULT = "show"
"""The tool of a command line that names none. Each tool is a file `_fg_<tool>.py` with `configure` and `run`."""
