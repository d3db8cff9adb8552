"""`local`: a cross-encoder of the BERT family out of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from easyrec.llm.rerankers import Reranker, RerankerConfig

if TYPE_CHECKING:
    from easyrec.llm.encoders.encoder import CrossEncoder


class Config(RerankerConfig):
    """Config of `local`."""

    type: Literal["local"] = "local"
    path: str = Field(min_length=1)
    """The folder with `config.json`, `model.safetensors` and `tokenizer.json`."""
    max_tokens: int | None = Field(None, ge=8)
    """Of query and document together that are kept; default: as many as the model was trained with."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """`bf16` takes half the time where the processor knows it."""
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    """Where it runs."""

    def open(self) -> Reranker:
        """The reranker.

        Raises:
            BundleError: The folder holds no such model.
            MissingExtra: The package tokenizers is not installed.
        """
        from easyrec.llm.encoders.encoder import CrossEncoder  # noqa: PLC0415 (it needs torch)

        return Local(CrossEncoder(self.path, longest=self.max_tokens, precision=self.precision, device=self.device))


class Local(Reranker):
    """A cross-encoder."""

    def __init__(self, encoder: CrossEncoder) -> None:
        self._encoder = encoder

    def score(self, query: str, documents: Sequence[str]) -> np.ndarray:
        """Its logits."""
        return self._encoder.score(query, documents)
