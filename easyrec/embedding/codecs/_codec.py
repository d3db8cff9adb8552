"""The contract of the family of codecs."""

from __future__ import annotations

from typing import Any

from easyrec.embedding.encoded import Draft


class Codec:
    """From a table to a smaller one. Deterministic.

    Args:
        config: The codec's config.
    """

    def __init__(self, config: Any) -> None:
        self.config = config

    def __call__(self, draft: Draft) -> Draft:
        """The smaller table; the same one where there is nothing to gain."""
        raise TypeError(f"{type(self).__name__} must define __call__")
