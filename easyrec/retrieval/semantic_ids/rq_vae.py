"""`rq_vae`: an autoencoder whose inner vectors are quantized level by level."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from easyrec.retrieval.semantic_ids import Quantized, Quantizer, QuantizerConfig
from easyrec.retrieval.semantic_ids._residual import centres

STARTED = 20_000
"""Vectors that the codes start from at most."""
ROWS = 1 << 14
"""Vectors that are given codes at once."""


class Config(QuantizerConfig):
    """Config of `rq_vae`."""

    type: Literal["rq_vae"] = "rq_vae"
    hidden: list[Annotated[int, Field(gt=0)]] = [512, 256, 128]
    """Widths of the encoder's layers; the decoder's are the same from behind."""
    dim: int = Field(32, gt=0)
    """Width of what is quantized."""
    beta: float = Field(0.25, ge=0.0)
    """Weight of drawing the encoder's vectors to their codes, beside drawing the codes to these."""
    balance: Literal["none", "last", "all"] = "none"
    """Levels on which codes are given out so that all are used equally."""
    epsilon: float = Field(0.01, gt=0.0)
    """How far a balanced code may be from the nearest: the smaller, the nearer."""
    epochs: int = Field(500, gt=0)
    batch_size: int = Field(1024, gt=0)
    lr: float = Field(0.001, gt=0.0)
    """Learning rate of Adam."""


class RQVAE(Quantizer):
    """``c_m = argmin_c |r_m - e_mc|``, ``r_1 = z = encoder(x)``, ``r_{m+1} = r_m - e_{m c_m}``, ``x' = decoder(sum_m e_{m c_m})``.

    The loss is ``|x - x'|^2 + sum_m |sg(r_m) - e|^2 + beta |r_m - sg(e)|^2``, with sg its argument without gradient; the
    decoder's gradient goes straight through the codes to z. Codes start as clusters of z.

    Source:
        Lee et al., "Autoregressive Image Generation using Residual Quantization", CVPR 2022, section 3.1; for items Rajput
        et al., NeurIPS 2023, section 3.1; balanced codes Zheng et al., "Adapting Large Language Models by Integrating
        Collaborative Semantics for Recommendation", ICDE 2024, section III-B.
    """

    def quantize(self, vectors: np.ndarray) -> Quantized:
        """The codes."""
        config = self.config
        mean, scale = vectors.mean(axis=0), max(float(vectors.std(dtype=np.float64)), 1e-12)
        x = torch.from_numpy(((vectors - mean) / scale).astype(np.float32))
        with torch.random.fork_rng(devices=()), torch.enable_grad():
            torch.manual_seed(config.seed)
            model = _Autoencoder(x.shape[1], config)
            model.start(x)
            optimizer = torch.optim.Adam(model.parameters(), config.lr)
            for _ in range(config.epochs):
                for rows in torch.split(torch.randperm(len(x)), config.batch_size):
                    optimizer.zero_grad()
                    model.loss(x[rows]).backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
        with torch.no_grad():
            codes = torch.cat([model.codes(model.encoder(part))[0] for part in torch.split(x, ROWS)])
            left = torch.zeros(config.levels, dtype=torch.float64)
            for part, own in zip(torch.split(x, ROWS), torch.split(codes, ROWS), strict=True):
                rebuilt = torch.zeros(len(part), config.dim)
                for level in range(config.levels):
                    rebuilt = rebuilt + model.books[level][own[:, level]]
                    left[level] += (model.decoder(rebuilt) - part).double().square().sum()
        whole = (x - x.mean(0)).double().square().sum().clamp_min(1e-30)
        return Quantized(codes.numpy(), (left / whole).numpy())


class _Autoencoder(nn.Module):
    def __init__(self, width: int, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = _layers([width, *config.hidden, config.dim])
        self.decoder = _layers([config.dim, *reversed(config.hidden), width])
        self.books = nn.Parameter(torch.zeros(config.levels, config.codes, config.dim))

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Let the codes be the centres of clusters of what the encoder gives now."""
        left = self.encoder(x[torch.randperm(len(x))[:STARTED]])
        for level in range(self.config.levels):
            found = centres(left.numpy(), self.config.codes, 10, self.config.seed + level)
            self.books[level] = torch.from_numpy(found)
            left = left - self.books[level][_nearest(left, self.books[level])]

    def codes(self, z: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """(B, M) the codes of vectors, and of each level what is left and the codes' vectors, (B, dim) each."""
        left, found, pairs = z, [], []
        for level in range(self.config.levels):
            even = self.config.balance == "all" or (self.config.balance == "last" and level + 1 == self.config.levels)
            with torch.no_grad():
                book = self.books[level].detach()
                chosen = balanced(left, book, self.config.epsilon) if even else _nearest(left, book)
            vectors = self.books[level][chosen]
            found.append(chosen)
            pairs.append((left, vectors))
            left = left - vectors.detach()
        return torch.stack(found, dim=1), pairs

    def loss(self, x: Tensor) -> Tensor:
        """Scalar."""
        z = self.encoder(x)
        _, pairs = self.codes(z)
        rebuilt = torch.stack([vectors for _, vectors in pairs]).sum(0)
        loss = F.mse_loss(self.decoder(z + (rebuilt - z).detach()), x)
        for left, vectors in pairs:
            loss = loss + F.mse_loss(vectors, left.detach()) + self.config.beta * F.mse_loss(left, vectors.detach())
        return loss


def _layers(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for first, second in pairwise(widths):
        layers += [nn.Linear(first, second), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _nearest(vectors: Tensor, book: Tensor) -> Tensor:
    return torch.cdist(vectors, book).argmin(dim=1)


def balanced(vectors: Tensor, book: Tensor, epsilon: float, iterations: int = 30) -> Tensor:
    """(B,) near codes of vectors such that about equally many get each.

    ``argmax Q`` for the Q nearest to ``exp(-|r - e|^2 / (epsilon * max))`` whose rows and whose columns have equal sums.

    Source:
        Cuturi, "Sinkhorn Distances", NIPS 2013, algorithm 1.
    """
    distances = torch.cdist(vectors, book).square()
    logs = -distances / (epsilon * distances.max().clamp_min(1e-30))
    for _ in range(iterations):
        logs = logs - logs.logsumexp(dim=0, keepdim=True)
        logs = logs - logs.logsumexp(dim=1, keepdim=True)
    return logs.argmax(dim=1)
