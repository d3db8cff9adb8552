"""`Encoder`: texts as vectors, and `CrossEncoder`: how well a text answers another, both by a transformer that runs here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from easyrec.errors import BundleError
from easyrec.llm.encoders.shape import read_json, read_shape
from easyrec.llm.encoders.threads import side_by_side
from easyrec.llm.encoders.tokens import Tokenizer, batches, padded
from easyrec.llm.encoders.transformer import Transformer
from easyrec.llm.encoders.weights import FILE, Weights, fill, made, transformer_names

N = TypeVar("N", bound=nn.Module)
Precision = Literal["fp32", "bf16"]
Pooling = Literal["mean", "cls", "max"]
TOKENS = 1024
"""Of a batch: what its layers make of it stays near the processor, and more do not make it faster."""
WINDOW = 4096
"""Texts whose tokens are in memory at a time; among them those of like lengths are found."""


class _Runs:
    """A transformer with its tokenizer. Calls of several threads wait for each other inside of torch alone."""

    def __init__(self, folder: Path, longest: int | None, precision: Precision, device: str) -> None:
        self.folder, self.shape = folder, read_shape(folder)
        most = self.shape.longest
        if longest is not None and longest > most:
            raise BundleError(f"{folder}: takes {most} tokens of a text at most, not {longest}")
        self.longest = longest or min(most, _trained_for(folder) or most)
        self.tokenizer = Tokenizer(folder, self.longest)
        self.weights = Weights(folder)
        self.device, self.dtype = torch.device(device), torch.float32 if precision == "fp32" else torch.bfloat16
        self.precision = precision

    def transformer(self) -> Transformer:
        """The transformer with its weights."""
        shape = self.shape
        return self.ready(made(lambda: Transformer(shape)), transformer_names(shape, self.weights.prefix()))

    def ready(self, module: N, names: dict[str, str]) -> N:
        """A module with its weights, where it runs."""
        fill(module, names, self.weights)
        return module.to(self.device, self.dtype).eval().requires_grad_(False)

    def over(
        self,
        texts: Sequence[Any],
        out: np.ndarray,
        compute: Callable[[Tensor, Tensor, Tensor], Tensor],
        progress: Callable[[int], object] | None,
    ) -> None:
        """Compute a row of `out` for each text."""
        for start in range(0, len(texts), WINDOW):
            encodings = self.tokenizer(texts[start : start + WINDOW])
            lengths = np.array([len(encoding.ids) for encoding in encodings], np.int64)

            def batch(rows: np.ndarray, start: int = start, encodings: list[Any] = encodings) -> int:
                ids, kinds, sizes = padded([encodings[row] for row in rows], self.shape.pad_token_id)
                if not self.shape.has_pairs:
                    kinds[:] = 0
                inputs = (torch.from_numpy(array).to(self.device) for array in (ids, kinds, sizes))
                with torch.inference_mode():
                    out[start + rows] = compute(*inputs).float().cpu().numpy()
                return len(rows)

            for done in self._each(batch, list(batches(lengths, TOKENS))):
                if progress is not None:
                    progress(done)

    def _each(self, batch: Callable[[np.ndarray], int], some: list[np.ndarray]) -> Iterator[int]:
        """Compute batches, on processors side by side: threads that share one wait for each other at every layer."""
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        if threads == 1 or len(some) == 1:
            return map(batch, some)
        return side_by_side(threads).map(batch, some)


class Encoder:
    """Vectors of texts. Any number of threads may use it.

    Args:
        folder: `config.json`, `model.safetensors` and `tokenizer.json`, as the hubs of models have them; how states are
            pooled and whether vectors are normalised is read from there too.
        longest: Tokens of a text that are kept; default: as many as it was trained with.
        precision: What it computes in.
        pooling: Instead of what the folder says.
        normalised: Likewise.
        device: Where it runs.

    Attributes:
        dim: Width of the vectors.
        digest: Tells models apart: equal digests, equal vectors.

    Raises:
        BundleError: The folder holds no such model.
        MissingExtra: The package tokenizers is not installed.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        longest: int | None = None,
        precision: Precision = "fp32",
        pooling: Pooling | None = None,
        normalised: bool | None = None,
        device: str = "cpu",
    ) -> None:
        self._runs = _Runs(Path(folder), longest, precision, device)
        said, kept = _pooled(Path(folder))
        self.pooling, self.normalised = pooling or said, kept if normalised is None else normalised
        self._transformer = self._runs.transformer()
        self.dim = self._runs.shape.hidden_size
        told = (self.pooling, self.normalised, self._runs.longest, precision)
        self.digest = _digest(Path(folder), *map(str, told))

    def encode(self, texts: Sequence[str], progress: Callable[[int], object] | None = None) -> np.ndarray:
        """The vectors of texts.

        Args:
            texts: What is encoded.
            progress: Is told how many more are done.

        Returns:
            (n, D) float32
        """
        out = np.empty((len(texts), self.dim), np.float32)
        self._runs.over(texts, out, self._vectors, progress)
        return out

    def _vectors(self, ids: Tensor, kinds: Tensor, lengths: Tensor) -> Tensor:
        states = self._transformer(ids, kinds, lengths).float()
        if self.pooling == "cls":
            pooled = states[:, 0]
        else:
            real = (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None])[:, :, None]
            if self.pooling == "mean":
                pooled = (states * real).sum(1) / lengths[:, None]
            else:
                pooled = states.masked_fill(~real, -torch.inf).amax(1)
        return nn.functional.normalize(pooled, dim=1) if self.normalised else pooled


class CrossEncoder:
    """How well documents answer a query: a transformer that reads both at a time. Any number of threads may use it.

    Args:
        folder: As of an `Encoder`; the model has a head with one output.
        longest: Tokens of query and document together that are kept.
        precision: What it computes in.
        device: Where it runs.

    Raises:
        BundleError: The folder holds no such model.
        MissingExtra: The package tokenizers is not installed.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        longest: int | None = None,
        precision: Precision = "fp32",
        device: str = "cpu",
    ) -> None:
        self._runs = _Runs(Path(folder), longest, precision, device)
        self._transformer = self._runs.transformer()
        prefix, names = self._runs.weights.prefix(), self._runs.weights.names
        # BERT pools by a layer of the transformer, RoBERTa by one of its head.
        if "classifier.weight" in names:
            dense, last = f"{prefix}pooler.dense", "classifier"
        else:
            dense, last = "classifier.dense", "classifier.out_proj"
        parts = {"dense": dense, "last": last}
        wanted = {f"{a}.{kind}": f"{b}.{kind}" for a, b in parts.items() for kind in ("weight", "bias")}
        self._head = self._runs.ready(made(lambda: _Head(self._runs.shape.hidden_size)), wanted)

    def score(
        self, query: str, documents: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> np.ndarray:
        """How well each document answers.

        Returns:
            (n,) float32 logits; larger is better.
        """
        out = np.empty(len(documents), np.float32)
        self._runs.over([(query, document) for document in documents], out, self._scores, progress)
        return out

    def _scores(self, ids: Tensor, kinds: Tensor, lengths: Tensor) -> Tensor:
        scores: Tensor = self._head(self._transformer(ids, kinds, lengths)[:, 0])
        return scores


class _Head(nn.Module):
    """One number out of a state: (n, D) -> (n,)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense, self.last = nn.Linear(width, width), nn.Linear(width, 1)

    def forward(self, states: Tensor) -> Tensor:
        """The logit."""
        out: Tensor = self.last(torch.tanh(self.dense(states)))[:, 0]
        return out


def _trained_for(folder: Path) -> int | None:
    """Tokens of a text that the folder's maker kept, where he says so."""
    path = folder / "sentence_bert_config.json"
    said = read_json(path).get("max_seq_length") if path.exists() else None
    return said if isinstance(said, int) and said > 0 else None


def _pooled(folder: Path) -> tuple[Pooling, bool]:
    """How a folder's maker pools, and whether he normalises."""
    path, modules = folder / "1_Pooling" / "config.json", folder / "modules.json"
    said = read_json(path) if path.exists() else {}
    flags: dict[str, Pooling] = {
        "pooling_mode_cls_token": "cls",
        "pooling_mode_max_tokens": "max",
        "pooling_mode_mean_tokens": "mean",
    }
    chosen = [kind for flag, kind in flags.items() if said.get(flag)]
    if len(chosen) > 1:
        raise BundleError(f"{path}: pools in several ways at once, which is not known here")
    normalised = modules.exists() and "Normalize" in modules.read_text(encoding="utf-8")
    return (chosen or ["mean"])[0], normalised


def _digest(folder: Path, *told: str) -> str:
    """Of weights and tokenizer, and of how they are used."""
    digest = hashlib.sha256("\0".join(told).encode())
    for name in (FILE, "tokenizer.json", "config.json"):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
