"""What models share that know items by codes from a file, learn the steps of a sequence, and search for what comes next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded, Seq
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.config.steps import LearnedSteps
from easyrec.errors import Problem
from easyrec.layout import GroupLayout
from easyrec.models._model import Model
from easyrec.modules.alike import places

NEVER = -1e4
"""Logit of an item that has no codes."""


class SearchingConfig(ModelConfig):
    """Keys of these models; one says how many codes an item has, as `num_codes`."""

    item_groups: ClassVar[tuple[str, ...]] = ("item",)

    history: int = Field(20, gt=0)
    """Newest items of the user that are read."""
    prefixes: int | None = Field(None, gt=0)
    """Steps of a sequence that are learned each time it is met, drawn at random; null: all but the first."""
    beam: int = Field(50, gt=0)
    """Beginnings that are kept while items are searched; as many as are asked for where these are more."""

    @property
    def num_codes(self) -> int:
        """L, codes of an item."""
        raise TypeError(f"{type(self).__name__} must define num_codes")

    def uses(self) -> dict[str, GroupUse]:
        """`user` with a sequence of items, and `item`, the feature that tells items apart."""
        user = GroupUse(about="user", sequence=True, codes=self.num_codes)
        return {"user": user, "item": GroupUse(about="item", codes=self.num_codes)}

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
                yield Problem(f"'{self.type}' reads one sequence, that of the user's items", where)
            elif entry.encoder is not None:
                yield Problem(f"'{self.type}' encodes the sequence itself: leave 'encoder' out", f"{where}.encoder")


class Searching(Model):
    """A model of a user's sequence of items that come as codes.

    Attributes:
        sequence: The sequence.
        coded: The child of it that is an item.
        beside: Columns of a step that are none of its codes.
        known_width: Width of `known`.
    """

    def __init__(
        self, config: SearchingConfig, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]
    ) -> None:
        super().__init__(config, layouts, tasks)
        self.encoders = nn.ModuleDict()  # the lookup gives the steps, and they are encoded here
        user = self.layouts["user"]
        (self.sequence,) = user.sequences
        self.coded = next(span for span in self.sequence.children if span.coded)
        self.beside_width, self.known_width = self.sequence.dim - self.coded.dim, user.width + user.dense_width

    def item_codes(self, steps: Seq) -> Tensor:
        """(N, L), the codes of the steps' items."""
        return steps.values[:, self.coded.columns]

    def besides(self, values: Tensor) -> Tensor:
        """What else is known of steps (N, D), side by side."""
        parts = [values[:, child.columns] for child in self.sequence.children if not child.coded]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def user_features(self, x: Embedded) -> Tensor:
        """(B, W), what is known of users beside their sequences."""
        layout = self.layouts["user"]
        parts = [x.tensors["emb:user"]] if layout.width else []
        parts += [x.dense("user")] if layout.dense else []
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def examples(self, steps: Seq, learned: Tensor) -> tuple[Seq, Tensor]:
        """For each step that is learned, (P,), the steps before it, and (P, L) the codes of its item."""
        starts = steps.offsets.index_select(0, steps.rows.index_select(0, learned))
        counts = (learned - starts).clamp_max(self.config.history)
        picked, offsets = places(learned - counts, counts), torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        examples = torch.repeat_interleave(torch.arange(counts.shape[0], device=counts.device), counts)
        past = Seq(steps.values.index_select(0, picked), examples, offsets)
        return past, self.item_codes(steps).index_select(0, learned)


def of_rows(steps: Seq, start: int, stop: int) -> Seq:
    """The steps of some rows."""
    first, last = int(steps.offsets[start]), int(steps.offsets[stop])
    offsets = steps.offsets[start : stop + 1] - first
    return Seq(steps.values[first:last], steps.rows[first:last] - start, offsets)
