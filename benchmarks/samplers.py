"""Samplers: negatives per second of one core, beside the obvious way in numpy.

`python benchmarks/samplers.py [--runs 5] [--batches 200] [--save]`

Time is that of the processor, which others may use too. A catalogue of 1 M items that are met by Zipf's law, batches of 2,048 rows; logits are corrected. What counts is candidates
beside a batch's own rows: those that all share, or for `hard` those of single rows. The obvious way gives the same items
without a correction.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from record import interleave, save, table

from easyrec.data.samplers import Lists, Sampler, build
from feature_generator.config import member

ITEMS, ROWS, NEGATIVES, BATCHES, NAMED = 1_000_000, 2048, 1024, 8, 20
BAR = 2e6


def counts() -> np.ndarray:
    """(N,), how often items are met; frequent ones do not lie side by side."""
    return np.random.default_rng(1).permutation(1e7 / (np.arange(ITEMS) + 10.0))


def batches(count: int) -> list[tuple[np.ndarray, Lists]]:
    """Own items of the rows, and items that these name."""
    random = np.random.default_rng(2)
    shares = counts() / counts().sum()
    own = random.choice(ITEMS, (count, ROWS), p=shares)
    named = random.choice(ITEMS, (count, ROWS * NAMED), p=shares)
    return [(o, Lists(n, np.arange(0, ROWS * NAMED + 1, NAMED))) for o, n in zip(own, named, strict=True)]


def ours(sampler: Sampler, own: np.ndarray, named: Lists, random: np.random.Generator) -> int:
    draw = sampler.draw(own, random)
    apart = sampler.apart(own, np.arange(len(own)), {"feature": named}, random)
    return len(draw.items) if apart is None else int((apart >= 0).sum())


def obvious() -> dict[str, Callable[[np.ndarray, Lists, np.random.Generator], int]]:
    """Without a sampler."""
    shares = counts() ** 0.75 / (counts() ** 0.75).sum()
    earlier: list[np.ndarray] = []

    def cross_batch(own: np.ndarray, named: Lists, random: np.random.Generator) -> int:
        earlier.insert(0, own)
        del earlier[BATCHES + 1 :]
        return len(np.unique(np.concatenate(earlier)))

    def hard(own: np.ndarray, named: Lists, random: np.random.Generator) -> int:
        ends = zip(named.offsets, named.offsets[1:], strict=False)
        rows = [np.unique(named.items[start:stop]) for start, stop in ends]
        return sum(len(random.choice(row, min(len(row), 8), replace=False)) for row in rows)

    return {
        "uniform": lambda own, named, random: len(np.unique(random.choice(ITEMS, NEGATIVES))),
        "popularity": lambda own, named, random: len(np.unique(random.choice(ITEMS, NEGATIVES, p=shares))),
        "in_batch": lambda own, named, random: len(np.unique(own)),
        "mixed": lambda own, named, random: len(np.union1d(own, random.choice(ITEMS, NEGATIVES))),
        "cross_batch": cross_batch,
        "hard": hard,
    }


def samplers() -> dict[str, Sampler]:
    keys: dict[str, dict[str, Any]] = {name: {"negatives": NEGATIVES} for name in ("uniform", "popularity", "mixed")}
    keys |= {"in_batch": {}, "cross_batch": {"batches": BATCHES}}
    keys |= {"hard": {"feature": "named", "negatives": 8}}
    met = counts()
    return {
        name: build(member("easyrec.data.samplers", name).Config(type=name, logq=True, **given), met)
        for name, given in keys.items()
    }


def measure(draw: Callable[..., int], data: list[tuple[np.ndarray, Lists]]) -> dict[str, float]:
    """Million negatives per second over the batches."""
    random, total = np.random.default_rng(3), 0
    started = time.process_time()
    for own, named in data:
        total += draw(own, named, random)
    return {"M/s": round(total / (time.process_time() - started) / 1e6, 3)}


def rows(figures: dict[str, dict[str, float]]) -> Iterator[dict[str, Any]]:
    for name in obvious():
        found, plain = figures[name]["M/s"], figures[f"{name}, obvious"]["M/s"]
        yield {"sampler": name, "M negatives/s": found, "obvious": plain, "met": found * 1e6 >= BAR}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--save", action="store_true", help="write a dated result")
    arguments = parser.parse_args()
    data = batches(arguments.batches)
    few = data[: max(arguments.batches // 20, 2)]  # for ways that are slow
    contestants = {name: partial(measure, partial(ours, made), data) for name, made in samplers().items()}
    contestants |= {f"{name}, obvious": partial(measure, way, few) for name, way in obvious().items()}
    figures = interleave(contestants, arguments.runs)
    told = list(rows(figures))
    table(told)
    if arguments.save:
        save("samplers", {"items": ITEMS, "rows": ROWS, "negatives": NEGATIVES, "bar": BAR, "samplers": told})


if __name__ == "__main__":
    main()
