"""Other views of a sequence, of which those of one row should look alike."""

from __future__ import annotations

import torch
from torch import Tensor

from easyrec.batch import Seq


def augmented(steps: Seq, mask: Tensor, *, crop: float, hide: float, reorder: float) -> Seq:
    """Each row changed in one of three ways, drawn by torch's generator.

    Of L steps a run of ``max(1, floor(crop L))`` is kept alone; or ``max(1, floor(hide L))`` are masked; or a run of
    ``floor(reorder L)`` is shuffled.

    Args:
        steps: The steps.
        mask: (D,), what stands in the place of a masked step.
        crop: Share that is kept.
        hide: Share that is masked.
        reorder: Share that is shuffled.

    Source:
        Xie et al., "Contrastive Learning for Sequential Recommendation", ICDE 2022, section 3.3.
    """
    device, lengths = steps.rows.device, steps.offsets.diff()
    rows, count = steps.rows, lengths.shape[0]
    kind = torch.randint(3, (count,), device=device)
    shares = torch.tensor([crop, hide, reorder], dtype=torch.float64, device=device)
    size = torch.floor(shares.index_select(0, kind) * lengths + 1e-9).long()
    size = torch.where(kind < 2, size.clamp_min(1), size)
    start = (torch.rand(count, dtype=torch.float64, device=device) * (lengths - size + 1)).long()
    chance = torch.rand(rows.shape[0], dtype=torch.float64, device=device)
    within = torch.arange(rows.shape[0], device=device) - steps.offsets.index_select(0, rows)
    kind, size, start = (of_row.index_select(0, rows) for of_row in (kind, size, start))
    inside = (within >= start) & (within < start + size)  # of the run
    longest = within.amax() + 1 if rows.shape[0] else 1
    # Masked are the steps with the least chances of their row.
    rank = torch.empty_like(within)
    rank[torch.argsort(rows + chance)] = within
    values = torch.where(((kind == 1) & (rank < size)).unsqueeze(1), mask.to(steps.values.dtype), steps.values)
    # A shuffled run is put in the order of chance.
    place = torch.where((kind == 2) & inside, start + size * chance, within.double())
    order = torch.argsort(rows * longest + place, stable=True)
    kept = order[((kind != 0) | inside)[order]]
    left = rows.index_select(0, kept)
    counts = torch.zeros_like(lengths).index_add(0, left, torch.ones_like(left))
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return Seq(values.index_select(0, kept), left, offsets)
