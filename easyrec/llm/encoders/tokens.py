"""Texts as tokens, and which of them are computed together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from easyrec.errors import BundleError, MissingExtra


class Tokenizer:
    """A folder's `tokenizer.json`.

    Args:
        folder: The folder.
        longest: Tokens that are kept of a text, or of a pair; the longer one of a pair is cut first.

    Raises:
        BundleError: It cannot be read.
        MissingExtra: The package tokenizers is not installed.
    """

    def __init__(self, folder: Path, longest: int) -> None:
        try:
            import tokenizers  # noqa: PLC0415 (an extra)
        except ImportError:
            raise MissingExtra("tokenizers", "llm") from None
        path = folder / "tokenizer.json"
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 (the package raises nothing narrower)
            raise BundleError(f"{path} cannot be read: {error}") from None
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(longest)

    def __call__(self, texts: Sequence[str] | Sequence[tuple[str, str]]) -> list[Any]:
        """The tokens of texts, or of pairs."""
        return list(self._tokenizer.encode_batch_fast(list(texts)))


def batches(lengths: np.ndarray, tokens: int) -> Iterator[np.ndarray]:
    """Numbers of texts that are computed together: of like lengths, and so many tokens with what pads them.

    Args:
        lengths: (n,) int64
        tokens: A longer text has a batch of its own.

    Yields:
        (m,) int64, the longest texts first, so that what does not fit into memory shows at once.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        some = max(1, tokens // max(1, int(lengths[order[start]])))
        yield order[start : start + some]
        start += some


def padded(encodings: Sequence[Any], padding: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, kinds and lengths of a batch: (m, L), (m, L) and (m,) int64."""
    lengths = np.array([len(encoding.ids) for encoding in encodings], np.int64)
    ids = np.full((len(encodings), int(lengths.max())), padding, np.int64)
    kinds = np.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        ids[row, : lengths[row]] = encoding.ids
        kinds[row, : lengths[row]] = encoding.type_ids
    return ids, kinds, lengths
