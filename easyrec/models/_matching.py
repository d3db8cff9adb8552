"""What matching models share: a vector of the user, a vector of an item, and how near they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from easyrec.batch import Embedded, Matches
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.errors import ConfigError, Problem
from easyrec.layout import GroupLayout, SequenceLayout
from easyrec.models._model import Head, Model, encoder_name
from easyrec.modules.mlp import exactly
from feature_generator.config import Choice


class MatchingConfig(ModelConfig):
    """Keys of models that compare a user with items by their vectors."""

    item_groups: ClassVar[tuple[str, ...]] = ("item",)

    similarity: Literal["cosine", "dot"] = "cosine"
    """How two vectors are compared."""
    temperature: float = Field(1.0, gt=0.0)
    """What the similarity is divided by, to be the logit."""
    loss: Annotated[Any, Choice("easyrec.losses.sampled")] | None = None
    """What training with `data.sampler` minimises. Default: softmax."""

    def uses(self) -> dict[str, GroupUse]:
        """All of `user` and of `item`."""
        return {"user": GroupUse(about="user"), "item": GroupUse(about="item")}


class EncodedConfig(MatchingConfig):
    """Keys of models that know a user by a sequence. Sequences that name no encoder have the one called like the model."""

    similarity: Literal["cosine", "dot"] = "dot"

    def uses(self) -> dict[str, GroupUse]:
        """All of `user`, with its sequence, and of `item`."""
        return {"user": GroupUse(about="user", sequence=True), "item": GroupUse(about="item")}

    def default_encoder(self) -> str | None:
        """The paper's."""
        return self.type


def first_encoded(model: Model, group: str, kinds: Any) -> tuple[SequenceLayout, ...]:
    """The sequences of a group, the first of which must have a certain kind of encoder.

    Raises:
        ConfigError: It has another, or the lookup pools it.
    """
    config = model.config
    entry = config.groups[group].sequences[0]
    found = model.layouts[group].sequences
    encoder = model.encoders[encoder_name(group, entry.key)] if found and found[0].name == entry.key else None
    if not isinstance(encoder, kinds):
        given = entry.encoder.type if entry.encoder is not None else config.default_encoder()
        text = f"'{config.type}' needs an encoder of its own kind at the first sequence of '{group}', but here is '{given}'"
        raise ConfigError(
            [Problem(f"{text}\nleave 'encoder' out, for {config.default_encoder()}", config.place_of(group, entry.key))]
        )
    return found


class Matching(Model):
    """Logit = <u, v> / T + b, of cosines with u and v scaled to length 1.

    A model defines `user` and `item`, which read nothing of each other: either can be computed alone.

    Shape:
        output: {"logit": (B,)}, before the sigmoid
    """

    def __init__(self, config: MatchingConfig, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        problems = [
            Problem(f"'{config.type}' computes a user without an item: '{encoder.config.type}' looks at both", place)
            for name, layout in self.layouts.items()
            for sequence in layout.sequences
            if (encoder := self._encoder(name, sequence)).needs_query or encoder.config.product
            for place in [config.place_of(name, sequence.name)]
        ]
        if problems:
            raise ConfigError(problems)
        self.head = Head(tasks, 0, terms=1)

    def user(self, x: Embedded) -> Tensor:
        """(B, D), the vectors of the rows' users; (B, K, D) of models that know a user by several."""
        raise TypeError(f"{type(self).__name__} must define user")

    def positions(self, x: Embedded) -> Tensor:
        """(P, D) or (P, K, D), what training compares with items: here the rows' users, P = B."""
        return self.user(x)

    def item(self, x: Embedded) -> Tensor:
        """(B, D), the vectors of the rows' items."""
        raise TypeError(f"{type(self).__name__} must define item")

    def scaled(self, vectors: Tensor) -> Tensor:
        """The vectors as they are compared, float32."""
        vectors = vectors.float()
        if self.config.similarity == "dot":
            return vectors
        return vectors / vectors.square().sum(dim=-1, keepdim=True).clamp_min(1e-24).sqrt()

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits of each row's user and item; where the batch was given candidates, those of `against`."""
        if x.matches is not None:
            positions, items = self.scaled(self.positions(x)), self.scaled(self.item(x))
            with exactly(positions):  # in bfloat16 candidates would tie
                return {"logit": self.against(positions, items, x.matches)} | self.noted(x, positions, items)
        users, items = self.scaled(self.user(x)), self.scaled(self.item(x))
        if users.dim() == 3:
            nearest = (users * items.unsqueeze(1)).sum(dim=2).amax(dim=1, keepdim=True)
        else:
            nearest = (users * items).sum(dim=1, keepdim=True)
        return self.head(None, nearest / self.config.temperature) | self.noted(x, users, items)

    def noted(self, x: Embedded, positions: Tensor, items: Tensor) -> dict[str, Tensor]:
        """What `forward` gives beside the logits while it trains, for `auxiliary`.

        Args:
            x: The input.
            positions: (P, D) or (P, K, D) float32, as they are compared.
            items: (C, D) float32, those of all candidates, or of the rows.
        """
        return {}

    def against(self, positions: Tensor, items: Tensor, matches: Matches) -> Tensor:
        """(P, C), ``<u_p, v_c> / T - log q_c``, each position's logits of its candidates; -inf for those that it is spared.

        Where the shared candidates are not known to hold the position's own, that stands before them; those that a
        position has for itself stand behind them, with q = 1.

        Source:
            The correction by the probability q of being a candidate: Bengio and Senecal, IEEE Transactions on Neural
            Networks 2008, eq. (9); of what a batch shows: Yi et al., RecSys 2019, eq. (4).
        """
        positions = positions / self.config.temperature
        first, end, targets = matches.first_shared, matches.end_shared, matches.targets
        if positions.dim() == 3:  # by the vector that is the nearest to the position's own item
            nearest = (positions * items.index_select(0, targets).unsqueeze(1)).sum(dim=2).argmax(dim=1)
            positions = positions[torch.arange(positions.shape[0], device=nearest.device), nearest]
        shared: Tensor = positions @ items[first:end].T  # (P, C)
        if matches.log_q is not None:
            shared = shared - matches.log_q[first:end]
        if matches.spared is not None:
            shared[matches.spared[0], matches.spared[1]] = -torch.inf
        parts = [shared]
        if first:
            own = matches.numbers.index_select(0, targets).unsqueeze(1)
            mine = (positions * items.index_select(0, targets)).sum(1, keepdim=True)
            if matches.log_q is not None:
                mine = mine - matches.log_q.index_select(0, targets).unsqueeze(1)
            parts = [mine, shared.masked_fill(matches.numbers[first:end] == own, -torch.inf)]
        if matches.apart is not None:
            theirs = items.index_select(0, matches.apart.clamp_min(0).flatten())
            logits = (torch.unflatten(theirs, 0, matches.apart.shape) @ positions.unsqueeze(2)).squeeze(2)  # (P, H)
            parts.append(logits.masked_fill(matches.apart < 0, -torch.inf))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
