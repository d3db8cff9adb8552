"""Tokenizers from files: HuggingFace `tokenizers` JSON and SentencePiece models, of the extra `text`.

The files are data: reading one runs no code of it.
"""

from __future__ import annotations

import hashlib
from itertools import chain
from typing import Any, Literal, Protocol, TypeAlias
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_generator.errors import MissingExtra

TokenizerType: TypeAlias = Literal["bpe", "sentencepiece"]
Ids: TypeAlias = npt.NDArray[np.int64]
LARGEST = 256 * 2**20
"""Bytes that a tokenizer file may have; the largest in use have a tenth."""


class Tokenizer(Protocol):
    """Texts into ids, without the special tokens that mark the ends of a text."""

    size: int
    """Ids lie in 0 .. size - 1."""

    def ids(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text."""


_read: WeakValueDictionary[tuple[TokenizerType, bytes], Tokenizer] = WeakValueDictionary()
"""Features that name the same file share its tokenizer."""


def read_tokenizer(content: bytes, kind: TokenizerType) -> Tokenizer:
    """The tokenizer that a file holds.

    Raises:
        ValueError: The content is not what `kind` says, or too large.
        MissingExtra: The library that reads it is not installed.
    """
    if len(content) > LARGEST:
        raise ValueError(f"has {len(content)} bytes; a tokenizer file may have {LARGEST}")
    key = kind, hashlib.sha256(content).digest()
    tokenizer = _read.get(key)
    if tokenizer is None:
        tokenizer = _read[key] = _Bpe(content) if kind == "bpe" else _SentencePiece(content)
    return tokenizer


def tokenize(texts: pa.LargeStringArray, tokenizer: Tokenizer) -> tuple[Ids, Ids]:
    """The ids of an array of texts.

    Args:
        texts: Without nulls.
        tokenizer: Of the feature.

    Returns:
        n + 1 offsets, and the ids of all texts one after another.
    """
    listed = tokenizer.ids(texts.to_pylist())
    lengths = np.fromiter(map(len, listed), np.int64, len(listed))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return offsets, np.fromiter(chain.from_iterable(listed), np.int64, int(offsets[-1]))


class _Bpe:
    """A `tokenizer.json`, whatever its model is: BPE, WordPiece, WordLevel or Unigram."""

    def __init__(self, content: bytes) -> None:
        try:
            import tokenizers  # noqa: PLC0415 (an extra)
        except ImportError:
            raise MissingExtra("tokenizers", "text") from None
        try:
            self._tokenizer: Any = tokenizers.Tokenizer.from_buffer(content)
        except ValueError as error:
            reason = str(error).removeprefix("Cannot instantiate Tokenizer from buffer: ")
            raise ValueError(f"is no tokenizer.json of HuggingFace tokenizers: {reason}") from None
        # Padding would depend on the other texts of a batch, dropout on chance.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        if getattr(self._tokenizer.model, "dropout", None) is not None:
            self._tokenizer.model.dropout = None
        words = self._tokenizer.get_vocab(with_added_tokens=True)
        if not words:
            raise ValueError("has an empty vocabulary")
        self.size = max(len(words), max(words.values()) + 1)

    def ids(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


class _SentencePiece:
    """A SentencePiece model, BPE or unigram."""

    def __init__(self, content: bytes) -> None:
        try:
            import sentencepiece  # noqa: PLC0415 (an extra)
        except ImportError:
            raise MissingExtra("sentencepiece", "text") from None
        try:
            self._processor: Any = sentencepiece.SentencePieceProcessor(model_proto=content)
            self.size: int = self._processor.vocab_size() if content else 0
        except RuntimeError as error:
            raise ValueError(f"is no model of SentencePiece: {error}") from None
        if not self.size:
            raise ValueError("is no model of SentencePiece: it has no pieces")

    def ids(self, texts: list[str]) -> list[list[int]]:
        made: list[list[int]] = self._processor.encode(texts, out_type=int, num_threads=1)
        return made
