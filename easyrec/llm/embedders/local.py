"""`local`: an encoder of the BERT family out of a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from easyrec.llm.embedders import Embedder, EmbedderConfig, Progress

if TYPE_CHECKING:
    from easyrec.llm.encoders.encoder import Encoder


class Config(EmbedderConfig):
    """Config of `local`."""

    type: Literal["local"] = "local"
    path: str = Field(min_length=1)
    """The folder with `config.json`, `model.safetensors` and `tokenizer.json`."""
    max_tokens: int | None = Field(None, ge=8)
    """Of a text that are kept; default: as many as the model was trained with."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """`bf16` takes half the time where the processor knows it."""
    pooling: Literal["mean", "cls", "max"] | None = None
    """Default: what the folder says."""
    normalised: bool | None = None
    """Default: what the folder says."""
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    """Where it runs."""

    def open(self) -> Embedder:
        """The embedder.

        Raises:
            BundleError: The folder holds no such model.
            MissingExtra: The package tokenizers is not installed.
        """
        from easyrec.llm.encoders.encoder import Encoder  # noqa: PLC0415 (it needs torch)

        encoder = Encoder(
            self.path,
            longest=self.max_tokens,
            precision=self.precision,
            pooling=self.pooling,
            normalised=self.normalised,
            device=self.device,
        )
        return Local(encoder, self.query_prefix, self.document_prefix)


class Local(Embedder):
    """An encoder with the words that it wants before texts."""

    def __init__(self, encoder: Encoder, query: str, document: str) -> None:
        self._encoder, self._query, self._document = encoder, query, document
        self.digest = hashlib.sha256("\0".join((encoder.digest, query, document)).encode()).hexdigest()

    def documents(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Vectors of what is searched."""
        return self._encoder.encode([self._document + text for text in texts], progress)

    def queries(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Vectors of what is searched for."""
        return self._encoder.encode([self._query + text for text in texts], progress)
