"""`tiger`: a transformer that reads the codes of a user's items and writes those of the next one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded, Seq
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.config.steps import LearnedSteps
from easyrec.errors import Problem
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.models._writing import found
from easyrec.modules.alike import places
from easyrec.modules.encoder_decoder import Decoder, Encoder, EncoderDecoderConfig
from easyrec.modules.mlp import exactly, linear
from easyrec.modules.sequence._encoder import age, newest
from easyrec.retrieval.trie import Trie
from feature_generator.config import StrictModel

NEVER = -1e4
"""Log-probability of an item that has no codes."""


class SemanticIds(StrictModel):
    """Where the codes of items come from."""

    path: str = "ids.parquet"
    """Parquet file that `easyrec semantic-ids` wrote."""
    levels: int = Field(4, gt=0)
    """Codes of an item, the one that tells items of equal codes apart among them."""
    codes: int = Field(256, gt=0)
    """Codes of a level: 0 to this less 1."""


class Config(EncoderDecoderConfig, ModelConfig):
    """Config of `tiger`."""

    item_groups: ClassVar[tuple[str, ...]] = ("item",)
    generative: ClassVar[bool] = True

    type: Literal["tiger"] = "tiger"
    semantic_ids: SemanticIds = SemanticIds()
    """Where the codes of items come from."""
    history: int = Field(20, gt=0)
    """Newest items of the user that are read."""
    prefixes: int | None = Field(None, gt=0)
    """Steps of a sequence that are learned each time it is met, drawn at random; null: all but the first."""
    beam: int = Field(50, gt=0)
    """Beginnings that are kept while items are searched; as many as are asked for where these are more."""

    def uses(self) -> dict[str, GroupUse]:
        """`user` with a sequence of items, and `item`, the feature that tells items apart."""
        levels = self.semantic_ids.levels
        user = GroupUse(about="user", sequence=True, codes=levels)
        return {"user": user, "item": GroupUse(about="item", codes=levels)}

    def learned_steps(self) -> LearnedSteps | None:
        """Every step but the first, or some of these."""
        return LearnedSteps(most=self.prefixes)

    def misfits(self, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """Further sequences, and encoders."""
        yield from super().misfits(layouts, tasks)
        group = (self.groups or {}).get("user")
        for index, entry in enumerate(group.sequences if group else ()):
            where = f"model.groups.user.sequences.{index}"
            if index:
                yield Problem("'tiger' reads one sequence, that of the user's items", where)
            elif entry.encoder is not None:
                yield Problem("'tiger' encodes the sequence itself: leave 'encoder' out", f"{where}.encoder")


class TIGER(Model):
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
        self.encoders = nn.ModuleDict()  # the lookup gives the steps, and they are encoded here
        self.levels, self.codes, width = config.semantic_ids.levels, config.semantic_ids.codes, config.width
        user = self.layouts["user"]
        (self.sequence,) = user.sequences
        self.coded = next(span for span in self.sequence.children if span.coded)
        beside, known = self.sequence.dim - self.coded.dim, user.width + user.dense_width
        self.beside = linear(beside, width, bias=False) if beside else None
        self.known = linear(known, width, bias=False) if known else None
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

    def examples(self, steps: Seq, learned: Tensor) -> tuple[Seq, Tensor]:
        """For each step that is learned, (P,), the steps before it, and (P, L) the codes of its item."""
        starts = steps.offsets.index_select(0, steps.rows.index_select(0, learned))
        counts = (learned - starts).clamp_max(self.config.history)
        picked, offsets = places(learned - counts, counts), torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        examples = torch.repeat_interleave(torch.arange(counts.shape[0]), counts)
        past = Seq(steps.values.index_select(0, picked), examples, offsets)
        return past, steps.values.index_select(0, learned)[:, self.coded.columns]

    def encoded(self, x: Embedded, past: Seq, rows: Tensor | None = None) -> Seq:
        """What the encoder makes of the tokens: 1 + L n in a row with n steps.

        Args:
            x: The users.
            past: Their steps.
            rows: (P,) whose steps they are, where these are other rows than those of `x`.
        """
        items, levels = self.embedded(past.values[:, self.coded.columns]), self.levels  # (N, L, D)
        beside = self.ages.index_select(0, age(past).clamp_max(self.config.history - 1))
        if self.beside is not None:
            parts = [past.values[:, c.columns] for c in self.sequence.children if not c.coded]
            beside = beside + self.beside(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))
        users = self.starts[:1].expand(past.offsets.shape[0] - 1, -1)
        if self.known is not None:
            layout = self.layouts["user"]
            parts = [x.tensors["emb:user"]] if layout.width else []
            parts += [x.dense("user")] if layout.dense else []
            known = self.known(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))
            users = users + (known if rows is None else known.index_select(0, rows))
        tokens = torch.cat([users.float(), (items + beside.unsqueeze(1)).flatten(0, 1)])
        within, of_users = torch.arange(levels), torch.arange(users.shape[0])
        of_items = (torch.arange(past.rows.shape[0]) * levels + past.rows + 1).unsqueeze(1) + within
        place = torch.cat([past.offsets[:-1] * levels + of_users, of_items.flatten()])  # the user first, then the items
        order = torch.zeros_like(place).index_put((place,), torch.arange(tokens.shape[0]))
        owners = torch.cat([of_users, past.rows.unsqueeze(1).expand(-1, levels).flatten()])
        offsets = past.offsets * levels + torch.arange(past.offsets.shape[0])
        encoded = self.encoder(tokens.index_select(0, order), offsets)
        return Seq(encoded, owners.index_select(0, order), offsets)

    def embedded(self, codes: Tensor) -> Tensor:
        """(N, l, D), the tokens of the first l codes (N, l); codes below 0 are those of an item that has none."""
        codes = codes.round().long().clamp(-1, self.codes - 1)
        rows = torch.where(codes < 0, self.codes, codes) + torch.arange(codes.shape[1]) * (self.codes + 1)
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
