"""`sequence`: one sequence of a group, as its encoder makes a vector of it."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupConfig, GroupUse, SequenceEntry
from easyrec.errors import ConfigError, nearest
from easyrec.layout import GroupLayout, Span
from easyrec.modules.blocks import GroupBlockConfig
from easyrec.modules.blocks._block import Around, Block, Reader


class Config(GroupBlockConfig):
    """Config of `sequence`; the encoder is named where the group names the sequence."""

    type: Literal["sequence"] = "sequence"
    sequence: str
    """Name of the sequence."""

    def use(self) -> tuple[str, GroupUse]:
        """Embeddings of any dims."""
        return self.group, GroupUse()


class Sequence(Block):
    """One encoded sequence of the group.

    Shape:
        output: (B, W), as wide as its encoder says
    """

    reads = True

    def __init__(self, config: Config, around: Around) -> None:
        super().__init__(config, around)
        layout = around.model.layouts[config.group]
        entries = _entries(around.model, config.group)
        self.steps = next((s for s in layout.sequences if s.name == config.sequence), None)
        pooled = {} if self.steps else _pooled(layout, entries)
        if self.steps is not None:
            self.shape = (around.model.interest_width(config.group, self.steps),)
        elif config.sequence in pooled:
            self.columns = pooled[config.sequence]
            self.shape = (self.columns.stop - self.columns.start,)
        else:
            known = [entry.key for entry in entries]
            raise ConfigError(
                f"group '{config.group}' has no sequence '{config.sequence}'{nearest(config.sequence, known)}\n"
                f"it has: {', '.join(known) or 'none'}; list it under model.groups.{config.group}.sequences"
            )

    def forward(self, model: Reader, x: Embedded) -> Tensor:
        """The vector."""
        if self.steps is not None:
            return model.interest(x, self.steps, self.config.group)
        return x.tensors[f"emb:{self.config.group}"][:, self.columns]


def _entries(model: Reader, group: str) -> list[SequenceEntry]:
    """The sequences that the config lists in a group."""
    groups: dict[str, GroupConfig] = model.config.groups or {}
    return groups[group].sequences if group in groups else []


def _pooled(layout: GroupLayout, entries: list[SequenceEntry]) -> dict[str, slice]:
    """The columns of each sequence that the lookup pools: a field per child, in the order of the config."""
    steps = {sequence.name for sequence in layout.sequences}
    found: dict[str, slice] = {}
    spans = list(layout.fields)
    for entry in entries:
        if entry.key in steps:
            continue
        own: list[Span] = []
        for span in spans:
            of_entry = span.name == entry.sequence or span.name.startswith(f"{entry.sequence}__")
            if of_entry and span.name not in [other.name for other in own]:
                own.append(span)
        spans = [span for span in spans if span not in own]
        if own:
            found[entry.key] = slice(own[0].start, own[-1].columns.stop)
    return found
