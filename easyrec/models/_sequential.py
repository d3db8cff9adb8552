"""What sequential models share: they read a sequence step by step, and compare what is known after a step with items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.config.steps import LearnedSteps
from easyrec.errors import ConfigError, Problem
from easyrec.layout import GroupLayout
from easyrec.models._matching import EncodedConfig, Matching, first_encoded
from easyrec.modules.mlp import linear
from easyrec.modules.sequence._causal import CausalEncoder
from easyrec.modules.sequence._telling import TellingEncoder


class SequentialConfig(EncodedConfig):
    """Keys of these models."""

    output_dim: int | None = Field(None, gt=0)
    """D, the width of the vectors that are compared; null: that of the sequence's output."""

    def learned_steps(self) -> LearnedSteps | None:
        """Each step that another one precedes."""
        return LearnedSteps()


class Sequential(Matching):
    """Logit = <u, v> / T + b, where u is what is known after the newest step of the user's first sequence.

    Where the user has other features too, u is a linear map of these and the output of the sequence. Where items are not
    as wide as u, v is a linear map of the item's features; else the item's embedding itself.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Attributes:
        kind: What the sequence's encoder must be.
    """

    kind: ClassVar[type[TellingEncoder]] = CausalEncoder

    def __init__(
        self, config: SequentialConfig, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]
    ) -> None:
        super().__init__(config, layouts, tasks)
        self.main, *self.others = first_encoded(self, "user", self.kind)
        if self.main.search is not None:
            where = config.place_of("user", self.main.name)
            text = f"'{config.type}' learns the steps of '{self.main.name}', so that all of them are looked up"
            raise ConfigError(
                [Problem(f"{text}\ninstead of 'newest' set sequence_length at the feature", f"{where}.newest")]
            )
        encoder = self._encoder("user", self.main)
        self.encoder_dim = encoder.dim
        dim, known = config.output_dim or encoder.dim, self.width("user")
        plain = known == encoder.dim == dim
        self.joined = nn.Identity() if plain else linear(known, dim)
        width = self.width("item")
        self.described = nn.Identity() if width == dim and not self.layouts["item"].dense else linear(width, dim)

    def user(self, x: Embedded) -> Tensor:
        """(B, D), what is known after the newest step."""
        return self._known(x, self.interest(x, self.main, "user"))

    def item(self, x: Embedded) -> Tensor:
        """(B, D), the items' vectors."""
        return self.described(self.flat(x, "item"))  # type: ignore[no-any-return]

    def positions(self, x: Embedded) -> Tensor:
        """(P, D), what is known of the steps that are learned."""
        matches, encoder = x.matches, self._encoder("user", self.main)
        assert matches is not None
        assert matches.steps is not None
        assert isinstance(encoder, TellingEncoder)
        return self._known(x, encoder.unseen(x.sequence(self.main.name, "user"), matches.steps), matches.rows)

    def _known(self, x: Embedded, outputs: Tensor, rows: Tensor | None = None) -> Tensor:
        """Outputs of the sequence joined by the other features of their rows."""
        if isinstance(self.joined, nn.Identity):
            return outputs
        layout = self.layouts["user"]
        parts = [x.tensors["emb:user"]] if layout.width else []
        parts += [self.interest(x, s, "user") for s in self.others]
        parts += [x.dense("user")] if layout.dense else []
        parts = parts if rows is None else [part.index_select(0, rows) for part in parts]
        return self.joined(torch.cat([outputs, *parts], dim=1))  # type: ignore[no-any-return]
