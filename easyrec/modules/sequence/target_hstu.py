"""`target_hstu`: the layers of `hstu` over the steps and the candidate, of which is hidden what became of it."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.errors import ConfigError
from easyrec.layout import SequenceLayout
from easyrec.modules.product import product
from easyrec.modules.sequence import hstu
from easyrec.modules.sequence._encoder import SequenceEncoder, age, sum_steps
from easyrec.modules.sequence.bst import with_candidate


class Config(hstu.Config):
    """Config of `target_hstu`."""

    type: Literal["target_hstu"] = "target_hstu"  # type: ignore[assignment]  # another member's name
    now: float | None = None
    """Time of the candidate, such as 0 where times count back from it; null: that of the newest step."""


class TargetHSTU(SequenceEncoder):
    """``norm(x^K_(L+1))`` of the layers of `hstu` over ``[s_1 .. s_L, c]``.

    The step c is the candidate at the place of the children that it is paired with, and one learned vector at that of
    the others, such as the action: these are not known before the candidate is shown. Only the candidate's output is
    read, so that of the last layer no other is made.

    Source:
        Zhai et al., "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative
        Recommendations", ICML 2024, sections 2.2 and 3; an item and its action are one step, as in the authors' code.
    """

    stepwise = False

    def __init__(self, config: Config, layout: SequenceLayout) -> None:
        super().__init__(config, layout)
        trunk = hstu.HSTU(config, layout)
        self.time, self.dim = trunk.time, trunk.dim
        self.told = [child for child in layout.children if child != self.time]
        if self.time in self.paired:
            raise ConfigError(
                f"'{self.time.name}' tells the time of a step, so it is paired with no feature: leave it out of 'query'"
            )
        hidden = [child.dim for child in self.told if child not in self.paired]
        self.hidden = nn.Parameter(0.02 * torch.randn(sum(hidden))) if hidden else None
        self.norm = trunk.norm
        trunk.add_module("norm", nn.Identity())
        self.last, trunk.layers = _Newest(trunk.layers[-1]), trunk.layers[:-1]
        self.trunk = trunk

    def forward(self, steps: Seq, query: Tensor | None) -> Tensor:
        """(B, D), the candidate after the steps."""
        assert query is not None
        return self.encode(steps, query) * (steps.offsets.diff() > 0).unsqueeze(1)

    def encode(
        self,
        steps: Seq,
        query: Tensor,
        front: Tensor | None = None,
        beside: Tensor | None = None,
        now: Tensor | None = None,
    ) -> Tensor:
        """(B, D) float32, the candidate after the steps, also of rows without any.

        Args:
            steps: values (N, width), rows (N,), offsets (B+1,).
            query: (B, width of `paired`), the candidates side by side.
            front: (B, C, D), what stands before the first step of each row, at its time.
            beside: (B, D), what is added to the candidate.
            now: (B,) float32, the candidate's time; None: as the config says.
        """
        candidate = self._candidate(query)  # (B, D)
        candidate = candidate if beside is None else candidate + beside
        if self.time is not None:
            oldest, newest = (self._times(steps, place) for place in (steps.offsets[:-1], steps.offsets[1:] - 1))
            if now is None:
                now = newest if self.config.now is None else torch.full_like(newest, self.config.now)
            candidate = self._timed(candidate, now)
            if front is not None:
                since = torch.where(steps.offsets.diff() > 0, oldest, now)
                front = self._timed(front, since.unsqueeze(1).expand(front.shape[:2]))
        whole = with_candidate(steps if front is None else preceded(front, steps), candidate)
        times = None if self.time is None else whole.values[:, self.time.start].float()
        encoded: Tensor = self.norm(self.last(self.trunk.outputs(whole), whole, times))
        return encoded.float()

    def _candidate(self, query: Tensor) -> Tensor:
        known = iter(torch.split(query, [child.dim for child in self.paired], dim=1))
        widths = [child.dim for child in self.told if child not in self.paired]
        hidden = iter(()) if self.hidden is None else iter(torch.split(self.hidden, widths))
        rows = query.shape[0]
        parts = [next(known) if child in self.paired else next(hidden).expand(rows, -1) for child in self.told]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _times(self, steps: Seq, place: Tensor) -> Tensor:
        """(B,), the time of one step of each row; 0 where it has none."""
        assert self.time is not None
        times = torch.cat([steps.values[:, self.time.start].float(), steps.values.new_zeros(1).float()])
        return times.index_select(0, torch.where(steps.offsets.diff() > 0, place, steps.values.shape[0]))

    def _timed(self, values: Tensor, times: Tensor) -> Tensor:
        """The values with their times in the column of the time."""
        assert self.time is not None
        start = self.time.start
        return torch.cat([values[..., :start], times.unsqueeze(-1), values[..., start:]], dim=-1)


class _Newest(nn.Module):
    """A layer of `hstu` whose output is wanted at the newest step of each row alone: nothing is padded.

    Shape:
        x: (N, D); times: (N,)
        output: (B, D)
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        assert isinstance(layer, hstu._Layer)
        self.layer = layer

    def forward(self, x: Tensor, steps: Seq, times: Tensor | None) -> Tensor:
        layer, ends = self.layer, steps.offsets[1:] - 1
        weight, inner = layer.projected.weight, layer.out.in_features
        normed = layer.norms[0](x)
        keys, values = F.silu(product(normed, weight[2 * inner :])).chunk(2, dim=1)  # (N, inner)
        gate, queries = F.silu(product(normed.index_select(0, ends), weight[: 2 * inner])).chunk(2, dim=1)  # (B, inner)
        products = keys * queries.index_select(0, steps.rows)
        scores = torch.unflatten(products, 1, (layer.heads, -1)).float().sum(dim=2) + self._bias(steps, times, ends)
        count = steps.offsets.diff().index_select(0, steps.rows).unsqueeze(1)
        weights = (F.silu(scores) / count).unsqueeze(2)  # (N, H, 1)
        mixed = sum_steps((torch.unflatten(values, 1, (layer.heads, -1)) * weights).flatten(1), steps)
        kept: Tensor = x.index_select(0, ends) + layer.out(layer.dropout(layer.norms[1](mixed) * gate))
        return kept

    def _bias(self, steps: Seq, times: Tensor | None, ends: Tensor) -> Tensor:
        """(N, 1), that of `RelativeBias` between each step and the newest of its row."""
        bias = self.layer.bias
        found = bias.distances.index_select(0, age(steps).clamp_max(bias.distances.shape[0] - 1))
        if times is not None and bias.buckets is not None:
            passed = (times.index_select(0, ends).index_select(0, steps.rows) - times).abs()
            bucket = torch.floor(torch.log(passed + 1.0) / 0.3).long().clamp_max(bias.buckets.shape[0] - 1)
            found = found + bias.buckets.index_select(0, bucket)
        return found.unsqueeze(1)


def preceded(front: Tensor, steps: Seq) -> Seq:
    """The steps of each row behind what stands in `front`, (B, C, D)."""
    rows, count = torch.arange(steps.offsets.shape[0], device=steps.rows.device), front.shape[1]
    starts = (steps.offsets + rows * count)[:-1].unsqueeze(1)
    within = torch.arange(count, device=rows.device)
    own = torch.arange(steps.values.shape[0], device=rows.device) + (steps.rows + 1) * count
    place = torch.cat([(starts + within).flatten(), own])
    values = torch.cat([front.flatten(0, 1), steps.values])
    whose = torch.cat([rows[:-1].unsqueeze(1).expand(-1, count).flatten(), steps.rows])
    return Seq(
        torch.zeros_like(values).index_put((place,), values),
        torch.zeros_like(whose).index_put((place,), whose),
        steps.offsets + rows * count,
    )
