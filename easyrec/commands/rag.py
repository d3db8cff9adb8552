"""Ask documents: keep them, find what they say, and answer with the places that say so.

easyrec rag ingest -c rag.yaml handbook/ prices.csv --fact team=shop
easyrec rag search -c rag.yaml "how long does a refund take?"
easyrec rag ask -c rag.yaml "how long does a refund take?"
"""

from __future__ import annotations

DEFAULT = "show"
"""The tool of a command line that names none. Each tool is a file `_rag_<tool>.py` with `configure` and `run`."""
