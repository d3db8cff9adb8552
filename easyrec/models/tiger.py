"""`tiger`: a transformer that reads the codes of a user's items and writes those of the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded, Seq
from easyrec.config.model import TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head
from easyrec.models._searching import NEVER, Searching, SearchingConfig
from easyrec.models._writing import found
from easyrec.modules.encoder_decoder import Decoder, Encoder, EncoderDecoderConfig
from easyrec.modules.mlp import exactly, linear
from easyrec.modules.sequence._encoder import age, newest
from easyrec.retrieval.trie import Trie
from feature_generator.config import StrictModel


class SemanticIds(StrictModel):
    """Where the codes of items come from."""

    path: str = "ids.parquet"
    """Parquet file that `easyrec semantic-ids` wrote."""
    levels: int = Field(4, gt=0)
    """Codes of an item, the one that tells items of equal codes apart among them."""
    codes: int = Field(256, gt=0)
    """Codes of a level: 0 to this less 1."""


class Config(EncoderDecoderConfig, SearchingConfig):
    """Config of `tiger`."""

    searches: ClassVar[Literal["codes", "tree"] | None] = "codes"

    type: Literal["tiger"] = "tiger"
    semantic_ids: SemanticIds = SemanticIds()
    """Where the codes of items come from."""

    @property
    def num_codes(self) -> int:
        """Its codes."""
        return self.semantic_ids.levels


class TIGER(Searching):
    """``log p(c_1 .. c_L | user) = sum_l log softmax(W_l d_l)_{c_l}`` with ``d_1 .. d_L = decoder(b, E_1 c_1 .. E_{L-1} c_{L-1})``.

    The decoder attends to ``encoder(u, tokens)``: u of the user's other features, and for each of the newest items L tokens
    ``E_l c_l + p_a + V s`` with the item's codes c, its age a and what else is known of the step, s. Logit = this + b.

    In training the loss is ``-log p`` of items of the sequence, each given those before it.

    Shape:
        output: {"logit": (B,)}, (P,) of the steps that are learned while it trains against a catalogue

    Source:
        Rajput et al., "Recommender Systems with Generative Retrieval", NeurIPS 2023, section 3.2.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.levels, self.codes, width = config.semantic_ids.levels, config.semantic_ids.codes, config.width
        self.beside = linear(self.beside_width, width, bias=False) if self.beside_width else None
        self.known = linear(self.known_width, width, bias=False) if self.known_width else None
        start = width**-0.5
        self.tokens = nn.Parameter(start * torch.randn(self.levels * (self.codes + 1), width))  # one for items unknown
        self.ages = nn.Parameter(start * torch.randn(config.history, width))
        self.starts = nn.Parameter(start * torch.randn(2, width))  # of what is read, and of what is written
        self.outputs = nn.Parameter(start * torch.randn(self.levels, width, self.codes))
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.head = Head(tasks, 0, terms=1)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The log-probability of each row's item; where the batch was given a catalogue, that of the sequence's own items."""
        steps = x.sequence(self.sequence.name, "user")
        if x.matches is not None:
            assert x.matches.steps is not None
            past, items = self.examples(steps, x.matches.steps)
            return {"logit": self.log_probability(self.encoded(x, past, x.matches.rows), items)}
        told = self.log_probability(self.encoded(x, newest(steps, self.config.history)), x.tensors["emb:item"])
        return self.head(None, told.unsqueeze(1))

    def encoded(self, x: Embedded, past: Seq, rows: Tensor | None = None) -> Seq:
        """What the encoder makes of the tokens: 1 + L n in a row with n steps.

        Args:
            x: The users.
            past: Their steps.
            rows: (P,) whose steps they are, where these are other rows than those of `x`.
        """
        items, levels = self.embedded(self.item_codes(past)), self.levels  # (N, L, D)
        beside = self.ages.index_select(0, age(past).clamp_max(self.config.history - 1))
        if self.beside is not None:
            beside = beside + self.beside(self.besides(past.values))
        users = self.starts[:1].expand(past.offsets.shape[0] - 1, -1)
        if self.known is not None:
            known = self.known(self.user_features(x))
            users = users + (known if rows is None else known.index_select(0, rows))
        tokens = torch.cat([users.float(), (items + beside.unsqueeze(1)).flatten(0, 1)])
        numbers = partial(torch.arange, device=tokens.device)
        within, of_users = numbers(levels), numbers(users.shape[0])
        of_items = (numbers(past.rows.shape[0]) * levels + past.rows + 1).unsqueeze(1) + within
        place = torch.cat([past.offsets[:-1] * levels + of_users, of_items.flatten()])  # the user first, then the items
        order = torch.zeros_like(place).index_put((place,), numbers(tokens.shape[0]))
        owners = torch.cat([of_users, past.rows.unsqueeze(1).expand(-1, levels).flatten()])
        offsets = past.offsets * levels + numbers(past.offsets.shape[0])
        encoded = self.encoder(tokens.index_select(0, order), offsets)
        return Seq(encoded, owners.index_select(0, order), offsets)

    def embedded(self, codes: Tensor) -> Tensor:
        """(N, l, D), the tokens of the first l codes (N, l); codes below 0 are those of an item that has none."""
        codes = codes.round().long().clamp(-1, self.codes - 1)
        starts = torch.arange(codes.shape[1], device=codes.device) * (self.codes + 1)
        rows = torch.where(codes < 0, self.codes, codes) + starts
        return torch.unflatten(self.tokens.index_select(0, rows.flatten()), 0, (-1, codes.shape[1]))

    def log_probability(self, encoded: Seq, codes: Tensor) -> Tensor:
        """(B,) float32, of items by their codes (B, L), given what was read."""
        written = torch.cat([self.starts[1].expand(codes.shape[0], 1, -1), self.embedded(codes[:, :-1])], dim=1)
        hidden, _ = self.decoder(written, self.decoder.memory(encoded))  # (B, L, D)
        with exactly(hidden):
            logs = torch.log_softmax(hidden.float().transpose(0, 1) @ self.outputs, dim=2).transpose(0, 1)  # (B, L, C)
        told = logs.gather(2, codes.round().long().clamp(0, self.codes - 1).unsqueeze(2)).squeeze(2).sum(dim=1)
        return told.masked_fill((codes < -0.5).any(dim=1), NEVER)

    @torch.no_grad()
    def find(
        self, x: Embedded, trie: Trie, k: int, barred: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, k) the items that are the most probable, -1 behind the last, and (B, k) their log-probabilities.

        Args:
            x: The users, prepared.
            trie: The items.
            k: How many are found; the beam is as wide at least.
            barred: Users and items (n,) that are not found together.
        """
        steps = newest(x.sequence(self.sequence.name, "user"), self.config.history)
        return found(self, self.encoded(x, steps), trie, k, barred)
