"""What encoding a sequence costs in training: our encoders beside a plain padded DIN.

`python benchmarks/sequence_cost.py [--runs 9] [--steps 1000] [--threads 1] [--only din padded_din]`

Forward and backward of one batch of 256 rows, 32 numbers a step, into weights, steps and candidates. Lengths are drawn
as the longest times the square of a uniform number, so that their mean is a third of the longest. The padded form gets
its steps padded already. Contestants take turns; the median stands. Another contestant is one line of `CONTESTANTS`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
from record import interleave, save, table
from torch import Tensor, nn

from easyrec.batch import Seq
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import build
from feature_generator.config import member

ROWS, DIM = 256, 32
LAYOUT = SequenceLayout("history", (Span("history__item", DIM, 0),), ("item",))
ATTENTION = {"hidden": [36], "activation": "sigmoid", "softmax": True}


class Batch:
    """Random steps and candidates of one batch, jagged and padded.

    Attributes:
        steps: All rows' steps, one after another.
        query: (B, D), the candidates.
        padded: (B, longest, D), the same steps, zeros behind them.
        mask: (B, longest), True where there is a step.
    """

    def __init__(self, longest: int) -> None:
        drawn = torch.Generator().manual_seed(2026)
        lengths = (longest * torch.rand(ROWS, generator=drawn) ** 2).ceil().long()
        lengths[0] = longest
        self.mask = torch.arange(longest) < lengths.unsqueeze(1)
        rows = torch.repeat_interleave(torch.arange(ROWS), lengths)
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        values = torch.randn(int(offsets[-1]), DIM, generator=drawn)
        self.padded = torch.zeros(ROWS, longest, DIM)
        self.padded[self.mask] = values
        self.padded.requires_grad_()
        self.query = torch.randn(ROWS, DIM, generator=drawn).requires_grad_()
        self.steps = Seq(values.requires_grad_(), rows, offsets)


class PaddedDIN(nn.Module):
    """Target attention as it is usually written: the MLP of [q, k, q - k, q * k] of every place, filled or not."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = nn.Sequential(nn.Linear(4 * DIM, 36), nn.Sigmoid(), nn.Linear(36, 1))

    def forward(self, batch: Batch) -> Tensor:
        """(B, D), the interest of each row in its candidate."""
        keys = batch.padded
        query = batch.query.unsqueeze(1).expand_as(keys)
        scores = self.unit(torch.cat([query, keys, query - keys, query * keys], dim=2)).squeeze(2)
        weights = torch.softmax(scores.masked_fill(~batch.mask, -1e9), dim=1)
        return (weights.unsqueeze(1) @ keys).squeeze(1)


class Ours(nn.Module):
    """One of our encoders."""

    def __init__(self, name: str, **keys: object) -> None:
        super().__init__()
        self.encoder = build(member("easyrec.modules.sequence", name).Config(**keys), LAYOUT)

    def forward(self, batch: Batch) -> Tensor:
        """(B, dim), the encoded rows, and 0 times nothing of the encoder's own loss."""
        encoded: Tensor = self.encoder(batch.steps, batch.query)
        return encoded if self.encoder.auxiliary is None else encoded + self.encoder.auxiliary


CONTESTANTS: dict[str, Callable[[], nn.Module]] = {
    "padded_din": PaddedDIN,
    "din": partial(Ours, "din", **ATTENTION),
    "pooling": partial(Ours, "pooling"),
    "target_attention": partial(Ours, "target_attention"),
    "multi_window_din": partial(Ours, "multi_window_din", hidden=[36], activation="sigmoid"),
    "dmr": partial(Ours, "dmr"),
    "bst": partial(Ours, "bst", heads=2),
    "transact": partial(Ours, "transact"),
    "self_attention": partial(Ours, "self_attention", heads=2),
    "dmin": partial(Ours, "dmin", heads=2, interests=2),
    "dien": partial(Ours, "dien"),
}
CLAIM = ("din", "padded_din")


def step(model: nn.Module, batch: Batch) -> dict[str, float]:
    """Milliseconds of one forward and backward."""
    started = time.perf_counter()
    model(batch).sum().backward()
    return {"ms": (time.perf_counter() - started) * 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--steps", type=int, nargs="*", default=[1000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(CONTESTANTS), choices=list(CONTESTANTS))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for longest in args.steps:
        batch = Batch(longest)
        runs = {}
        for name in args.only:
            torch.manual_seed(0)
            runs[name] = partial(step, CONTESTANTS[name](), batch)
            runs[name]()  # the first run also fills memory
        medians = interleave(runs, args.runs)
        mean = len(batch.steps.rows) / ROWS
        rows += [{"longest": longest, "mean": mean, "encoder": n, **figures} for n, figures in medians.items()]
        if set(CLAIM) <= set(medians):
            ours, theirs = (medians[name]["ms"] for name in CLAIM)
            print(f"\nat {longest} steps {CLAIM[0]} costs 1/{theirs / ours:.2f} of {CLAIM[1]}\n")
    table(rows)
    save("sequence_cost", {"rows": rows, "batch": ROWS, "dim": DIM, "threads": args.threads, "runs": args.runs})


if __name__ == "__main__":
    main()
