"""What language models do for recommendation: vectors, pairs, rewrites, profiles, rankings and judgements.

easyrec llm embed -c llm.yaml
easyrec llm pair -c llm.yaml
"""

from __future__ import annotations

DEFAULT = "embed"
"""The tool of a command line that names none. Each tool is a file `_llm_<tool>.py` with `configure` and `run`."""
