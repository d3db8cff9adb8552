"""Define features once, keep them for requests, and look at what is there: the feature store.

easyrec store diff -c store.yaml
easyrec store apply -c store.yaml
easyrec store publish -c store.yaml user_profile --input profiles.parquet
easyrec store read -c store.yaml ctr user_id=7 item_id=3,5,8
"""

from __future__ import annotations

DEFAULT = "show"
"""The tool of a command line that names none. Each tool is a file `_store_<tool>.py` with `configure` and `run`."""
