"""Samplers: which items a batch's users are compared with beside their own.

The contract of the family: `easyrec/data/samplers/<type>.py` holds the sampler's `Config` over `SamplerConfig`, and one
class over `Sampler`. Same random generator and same earlier batches, same items. Knows no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from easyrec.config.family import implementation
from feature_generator.config import StrictModel

__all__ = ["Draw", "Lists", "Sampler", "SamplerConfig", "build"]


class SamplerConfig(StrictModel):
    """What the config of every sampler has; a sampler's own `Config` derives from it."""

    family: ClassVar[str | None] = "easyrec.data.samplers"

    type: str
    logq: bool | None = None
    """Lower each logit by the log of the probability that its item is a candidate, where that is not equal for all.
    Default: with the loss softmax, whose softmax over all items that makes it learn."""
    known: str | None = None
    """Feature with ids of items that a row's user has taken: none of them is held against the row's own items."""

    @property
    def counted(self) -> bool:
        """Whether the sampler must know how often each item is met in training."""
        return False

    @property
    def features(self) -> dict[str, str]:
        """Features of the rows that are read, by the key that names them; each holds ids of items."""
        return {} if self.known is None else {"known": self.known}


class Lists(NamedTuple):
    """Items that the rows of a batch name.

    Attributes:
        items: (n,) int64, numbers in the catalogue, -1 for what it lacks.
        offsets: (B+1,) int64, row b names `offsets[b] .. offsets[b+1]`.
    """

    items: np.ndarray
    offsets: np.ndarray


class Draw:
    """What a batch's positions share.

    Attributes:
        items: (C,) int64, candidates, numbers in the catalogue, ascending and each once.
        log_q: (C,) float32, log of the probability that each is among them; None: all alike.
        own_log_q: (U,) float32, the same for the batch's own items, ascending and each once.
        inside: Whether the batch's own items are among the candidates.

    Source:
        That the softmax over a set of candidates is that over all items once each logit is lowered by the log of its
        probability to be in the set: TensorFlow, "What is Candidate Sampling", section "Sampled Softmax".
    """

    def __init__(
        self,
        items: np.ndarray,
        *,
        inside: bool,
        log_q: np.ndarray | None = None,
        own_log_q: np.ndarray | None = None,
    ) -> None:
        self.items, self.inside, self.log_q, self.own_log_q = items, inside, log_q, own_log_q


class Sampler:
    """Draws the candidates of a batch; a sampler defines `draw`.

    Args:
        config: The sampler's config.
        counts: (N,) how often each item of the catalogue is met in training; ones where the sampler needs none.

    Attributes:
        earlier: Own items of the batches before, the newest first, where the sampler keeps some: all that a draw depends
            on beside its arguments.
    """

    earlier: tuple[np.ndarray, ...] = ()

    def __init__(self, config: Any, counts: np.ndarray) -> None:
        self.config, self.counts = config, counts

    def draw(self, own: np.ndarray, random: np.random.Generator) -> Draw:
        """The candidates of a batch.

        Args:
            own: (P,) int64, the positions' own items.
            random: Where chance comes from.
        """
        raise TypeError(f"{type(self).__name__} must define draw")

    def apart(
        self, own: np.ndarray, rows: np.ndarray, named: Mapping[str, Lists], random: np.random.Generator
    ) -> np.ndarray | None:
        """(P, H) int64, items that single positions are compared with beside what all share, -1 for none; here no such.

        Of one position each is there once. It is there for certain, and its logit is not corrected.

        Args:
            own: (P,) int64, the positions' own items.
            rows: (P,) int64, whose the positions are.
            named: What the rows name, by the key of `SamplerConfig.features`.
            random: Where chance comes from.
        """
        return None


def build(config: SamplerConfig, counts: np.ndarray) -> Sampler:
    """A sampler."""
    return implementation("easyrec.data.samplers", config.type, Sampler)(config, counts)
