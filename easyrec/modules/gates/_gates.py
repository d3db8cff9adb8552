"""The contract of the family of gates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from easyrec.layout import GroupLayout, Span


class Gates(nn.Module):
    """``z_f x_f`` for all that a model reads of a feature f, with one ``z_f``, or one for each number of its embedding.

    What a feature gives a model in several places - fields, first-order weights, numeric inputs, steps of a sequence, in
    one group or in several - has one gate, and so have features that the config groups. With a gate for each number,
    first-order weights have the mean of the feature's. Codes of items, which are no embeddings, have none.

    A type of gates gives `values`, and `penalty` for the loss.

    Shape:
        input, output: the tensors of an `Embedded`, by key

    Args:
        config: The config of the gates.
        layouts: The groups, numeric fields beside the others.
    """

    START = 0.0
    """Where the logits, or whatever a gate is made of, begin."""

    def __init__(self, config: Any, layouts: Mapping[str, GroupLayout]) -> None:
        super().__init__()
        self.config = config
        owner = {feature: name for name, features in config.groups.items() for feature in features}
        spans = {key: listed for layout in layouts.values() for key, listed in _spans(layout).items()}
        widths: dict[str, int] = {}
        for listed in spans.values():
            for span in listed:
                name = owner.get(span.name, span.name)
                if not span.coded:
                    widths[name] = max(widths.get(name, 1), span.dim if config.per == "dim" else 1)
        self.widths = widths
        starts, self.width = {}, 0
        for name, width in widths.items():
            starts[name] = self.width
            self.width += width
        means = {name: self.width + number for number, name in enumerate(widths)}
        self.one = self.width + len(widths)
        """Behind the gates and the mean of each feature's there is a 1, for what has no gate."""
        self.places: dict[str, str] = {}
        for key, listed in spans.items():
            index: list[int] = []
            for span in listed:
                name = owner.get(span.name, span.name)
                if span.coded:
                    index += [self.one] * span.dim
                elif key.startswith("first:"):
                    index.append(means[name])
                else:
                    index += [starts[name] + (n if config.per == "dim" else 0) for n in range(span.dim)]
            self.places[key] = f"columns_{len(self.places)}"
            self.register_buffer(self.places[key], torch.tensor(index), persistent=False)
        of = torch.tensor([number for number, width in enumerate(widths.values()) for _ in range(width)])
        self.register_buffer("of", of, persistent=False)
        self.register_buffer("sizes", torch.tensor(list(widths.values())).float(), persistent=False)
        self.weight = nn.Parameter(torch.zeros(self.width))

    of: Tensor
    sizes: Tensor

    @property
    def raw(self) -> Tensor:
        """(P,) what the gates are made of; it moves `rate` times as fast as other parameters."""
        found: Tensor = self.START + self.config.rate * self.weight
        return found

    def values(self, rows: int | None) -> Tensor:
        """(rows, P) gates drawn for rows that are learned, or (P,) where all rows have the same; of no rows, those of scoring."""
        raise NotImplementedError

    def penalty(self) -> Tensor:
        """What the gates add to the loss of training."""
        raise NotImplementedError

    def strengths(self) -> Tensor:
        """(P,) how far each gate is open, 0 or more."""
        raise NotImplementedError

    def summed(self, values: Tensor) -> Tensor:
        """(..., U), the sum of the values of each feature's gates."""
        shape = (*values.shape[:-1], len(self.widths))
        return values.new_zeros(shape).index_add(-1, self.of, values)

    def forward(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors, each number times its gate."""
        found, drawn = dict(tensors), dict[int | None, Tensor]()
        for key, place in self.places.items():
            if key not in tensors:  # of the other side of a matching model
                continue
            tensor, rest = tensors[key], key.partition(":")[2]
            steps = key.startswith("seq:")
            rows = None
            if self.training:
                rows = tensors[f"offsets:{rest}"].shape[0] - 1 if steps else tensor.shape[0]
            if rows not in drawn:
                drawn[rows] = self._all(self.values(rows))
            gates = drawn[rows]
            if steps and gates.dim() == 2:
                gates = gates.index_select(0, tensors[f"rows:{rest}"])
            found[key] = tensor * gates.index_select(-1, getattr(self, place))
        return found

    def _all(self, gates: Tensor) -> Tensor:
        """(..., P + U + 1): the gates, the mean of each feature's, and a 1."""
        return torch.cat([gates, self.summed(gates) / self.sizes, torch.ones_like(gates[..., :1])], dim=-1)

    @torch.no_grad()
    def importance(self) -> dict[str, float]:
        """How far the gates of each feature, or group of features, are open: the mean of its gates."""
        found = self.summed(self.strengths()) / self.sizes
        return dict(zip(self.widths, found.tolist(), strict=True))

    @torch.no_grad()
    def by_number(self) -> dict[str, list[float]]:
        """How far each gate of a feature is open."""
        parts = torch.split(self.strengths(), list(self.widths.values()))
        return dict(zip(self.widths, (part.tolist() for part in parts), strict=True))


def _spans(layout: GroupLayout) -> dict[str, tuple[Span, ...]]:
    """The columns of a group's tensors, by key."""
    found = {f"emb:{layout.name}": layout.fields, f"dense:{layout.name}": layout.dense}
    if layout.first_order:
        found[f"first:{layout.name}"] = layout.fields
    found |= {f"seq:{layout.name}/{sequence.name}": sequence.children for sequence in layout.sequences}
    return {key: spans for key, spans in found.items() if spans}
