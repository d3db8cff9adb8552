"""`tdm`: a tree over the items, which is searched level by level for the nodes that a user likes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded, Seq
from easyrec.config.model import TaskConfig
from easyrec.layout import GroupLayout, SequenceLayout, Span
from easyrec.models._model import Head
from easyrec.models._searching import NEVER, Searching, SearchingConfig, of_rows
from easyrec.modules.activation import Activation
from easyrec.modules.alike import places
from easyrec.modules.mlp import MLP, MLPConfig, Widths
from easyrec.modules.sequence import din
from easyrec.modules.sequence._encoder import newest
from easyrec.retrieval.beam import Grown, Score, in_turns
from easyrec.retrieval.tree import TreeShape
from easyrec.retrieval.trie import Trie
from feature_generator.config import StrictModel

STEPS = 1 << 18
"""Steps that are attended to at once while items are searched."""


class Tree(StrictModel):
    """The tree, and its form."""

    path: str = "tree.parquet"
    """Parquet file that `easyrec tree` wrote."""
    branching: int = Field(2, gt=1)
    """The most children of a node."""
    items: int = Field(10_000, gt=0, le=1 << 24)
    """Items of the catalogue: the leaves."""

    @cached_property
    def shape(self) -> TreeShape:
        """Its levels and nodes."""
        return TreeShape(self.items, self.branching)


class Config(MLPConfig, SearchingConfig):
    """Config of `tdm`."""

    searches: ClassVar[Literal["codes", "tree"] | None] = "tree"

    type: Literal["tdm"] = "tdm"
    hidden: Widths = Field([128, 64, 24], min_length=1)
    activation: Activation = "prelu"
    tree: Tree = Tree()
    """The tree over the items."""
    node_dim: int = Field(24, gt=0)
    """Dim of a node's embedding."""
    attention: din.Config = din.Config(activation="prelu")
    """How the steps of the history are weighed."""
    history: int = Field(50, gt=0)
    """Newest items of the user that are read."""
    beam: int = Field(100, gt=0)
    """Nodes of a level that are kept while items are searched; as many as are asked for where these are more."""

    @property
    def num_codes(self) -> int:
        """The levels of the tree."""
        return self.tree.shape.levels


class TDM(Searching):
    """Logit of a node = MLP([e_n, sum_s a(e_n, v_s) v_s, u]) with ``v_s = [e_{node above s}, further features of the step]``.

    A step of the history is known by the node above its item on the level of n, a is the attention unit of `din`, and u are
    the user's other features. In training the loss is, summed over the levels of the tree, the binary cross-entropy of the
    node above the item and of others of its level. Items are found from the root down: of the children of the nodes that
    are kept, the best are kept, and on the last level they are items.

    Shape:
        output: {"logit": (B,)}, of the leaves; (P,), the log-likelihood of all nodes of a step that is learned, while it
            trains against a catalogue

    Source:
        Zhu et al., "Learning Tree-based Deep Model for Recommender Systems", KDD 2018, eq. (3)-(5), algorithm 1, figure 2.
    """

    starts: Tensor
    sizes: Tensor

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        shape, dim = config.tree.shape, config.node_dim
        self.register_buffer("starts", torch.tensor(shape.starts), persistent=False)
        self.register_buffer("sizes", torch.tensor(shape.sizes), persistent=False)
        self.nodes = nn.Parameter(dim**-0.5 * torch.randn(shape.starts[-1] + 1, dim))  # the last one: unknown items
        beside = Span("beside", self.beside_width, dim)
        children = (Span("node", dim, 0), *([beside] if beside.dim else []))
        layout = SequenceLayout(self.sequence.name, children, ("node", None)[: len(children)])
        self.attention = din.DIN(config.attention, layout)
        self.deep = MLP(dim + self.attention.dim + self.known_width, config)
        self.head = Head(tasks, self.deep.out)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits of each row's item; where the batch was given a catalogue, what the sequence's own items tell."""
        steps, known = x.sequence(self.sequence.name, "user"), self.user_features(x) if self.known_width else None
        if x.matches is not None:
            return {"logit": self.log_likelihood(x, steps, known)}
        codes = x.tensors["emb:item"]
        levels = (codes > -0.5).sum(dim=1) - 1  # a node above items has no codes behind its own
        own = codes.gather(1, levels.clamp_min(0).unsqueeze(1)).squeeze(1)
        nodes = self.numbers(own, levels.clamp_min(0))
        past = newest(steps, self.config.history)
        attended = Seq(self.above(past, levels.clamp_min(0).index_select(0, past.rows)), past.rows, past.offsets)
        unknown = NEVER * (levels < 0).float()
        logits = self.head(self.deep(self.described(nodes, attended, known)))
        return {name: z + (unknown if z.dim() == 1 else unknown.unsqueeze(1)) for name, z in logits.items()}

    def log_likelihood(self, x: Embedded, steps: Seq, known: Tensor | None) -> Tensor:
        """(P,) float32, of the nodes that each step which is learned is learned with."""
        assert x.matches is not None
        assert x.matches.steps is not None
        assert x.matches.nodes is not None
        past, items = self.examples(steps, x.matches.steps)
        count, width = x.matches.nodes.shape
        nodes = x.matches.nodes.flatten()
        users = torch.arange(count, device=nodes.device).repeat_interleave(width)
        levels = torch.bucketize(nodes, self.starts, right=True) - 1
        paths = items.round().long() + self.starts[:-1]
        labels = (nodes == paths.flatten().index_select(0, users * paths.shape[1] + levels)).float()
        known = None if known is None else known.index_select(0, x.matches.rows)
        logits = self.of_users(past, known, users, nodes, levels)
        return -F.binary_cross_entropy_with_logits(logits, labels, reduction="none").view(count, width).sum(dim=1)

    def of_users(self, past: Seq, known: Tensor | None, users: Tensor, nodes: Tensor, levels: Tensor) -> Tensor:
        """(C,) float32, the logits of nodes (C,) on these levels (C,), each of one of the users whose steps are given."""
        lengths = past.offsets.diff().index_select(0, users)
        picked = places(past.offsets.index_select(0, users), lengths)
        rows = torch.repeat_interleave(torch.arange(users.shape[0], device=users.device), lengths)
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        attended = Seq(self.above(past, levels.index_select(0, rows), picked), rows, offsets)
        known = None if known is None else known.index_select(0, users)
        return self.head(self.deep(self.described(nodes, attended, known)))["logit"]

    def described(self, nodes: Tensor, attended: Seq, known: Tensor | None) -> Tensor:
        """(C, W), all that the MLP reads of nodes (C,) and of the steps that each is compared with."""
        embedded = self.nodes.index_select(0, nodes)
        parts = [embedded, self.attention(attended, embedded)]
        return torch.cat(parts if known is None else [*parts, known], dim=1)

    def above(self, past: Seq, levels: Tensor, picked: Tensor | None = None) -> Tensor:
        """(n, D), steps by the nodes above their items on levels (n,).

        Args:
            past: The steps.
            levels: The levels.
            picked: (n,) which steps; None: all.
        """
        codes, beside = self.item_codes(past), self.besides(past.values) if self.beside_width else None
        if picked is None:
            own = codes.gather(1, levels.unsqueeze(1)).squeeze(1)
        else:
            own = codes.flatten().index_select(0, picked * codes.shape[1] + levels)
            beside = None if beside is None else beside.index_select(0, picked)
        embedded = self.nodes.index_select(0, self.numbers(own, levels))
        return embedded if beside is None else torch.cat([embedded, beside], dim=1)

    def numbers(self, own: Tensor, levels: Tensor) -> Tensor:
        """(n,) int64, nodes by their numbers in their levels where all are counted, the last one for those unknown."""
        own = torch.minimum(own.round().long(), self.sizes.index_select(0, levels) - 1)
        return torch.where(own < 0, self.nodes.shape[0] - 1, own + self.starts.index_select(0, levels))

    @torch.no_grad()
    def find(
        self, x: Embedded, trie: Trie, k: int, barred: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, k) the items that a search down the tree finds, -1 behind the last, and (B, k) their logits.

        Args:
            x: The users, prepared.
            trie: The items, by the nodes above them.
            k: How many are found; the beam is as wide at least.
            barred: Users and items (n,) that are not found together.
        """
        past = newest(x.sequence(self.sequence.name, "user"), self.config.history)
        known = self.user_features(x) if self.known_width else None
        beam = min(max(self.config.beam, k), len(trie.items))

        def of(start: int, stop: int) -> Score:
            steps, about = of_rows(past, start, stop), None if known is None else known[start:stop]

            def score(grown: Grown) -> Tensor:
                levels = torch.full_like(grown.codes, grown.level)
                return self.of_users(steps, about, grown.users, self.numbers(grown.codes, levels), levels)

            return score

        longest = int(past.offsets.diff().max()) if past.offsets.shape[0] > 1 else 1
        users = STEPS // (beam * self.config.tree.branching * max(longest, 1))
        return in_turns(of, past.offsets.shape[0] - 1, max(users, 1), trie, beam, k, barred)
