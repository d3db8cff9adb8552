"""What `make demo` runs: two models on the embedded shop, their quality, a bundle, one request, a report.

Usage: python examples/demo.py [--rows N]
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

import easyrec
from easyrec.config import Experiment
from easyrec.data import open_sources
from easyrec.metrics import build
from easyrec.metrics.auc import Config as AUCConfig
from serving import Predictor

CONFIGS = Path(__file__).parents[1] / "configs" / "shop"
PARTS = ("train", "valid", "test")


def main() -> None:
    """Train logistic regression and DeepFM, compare them with what is possible, serve one page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=2_000_000, help="exposures of the shop's 30 days [2000000]")
    rows = parser.parse_args().rows
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    out, started = Console(highlight=False), time.perf_counter()
    overrides = {f"data.{part}.rows": rows for part in PARTS}

    out.rule("the embedded shop")
    out.print(
        f"Generating {rows:,} exposures: 20,000 users, 10,000 items, 30 days, clicks whose true chances are known."
    )
    experiment = easyrec.load_experiment(CONFIGS / "deepfm.yaml", overrides)
    ceiling = best_possible(experiment)

    runs = {}
    for title, name in (("logistic regression", "lr"), ("DeepFM with click history", "deepfm")):
        out.rule(title)
        runs[title] = easyrec.train(CONFIGS / f"{name}.yaml", overrides=overrides, overwrite=True)

    out.rule("test AUC of the last two days")
    shown = Table(box=None, pad_edge=False)
    for column, justify in (("", "left"), ("AUC", "right"), ("logloss", "right")):
        shown.add_column(column, justify=justify)  # type: ignore[arg-type]
    for title, run in runs.items():
        shown.add_row(title, *(f"{run.metrics['test'][metric]:.4f}" for metric in ("auc", "logloss")))
    shown.add_row("best possible (the true chances)", f"{ceiling:.4f}", "")
    out.print(shown)

    out.rule("one request")
    run = runs["DeepFM with click history"]
    serve_one(experiment, run, out)

    out.rule()
    out.print(f"Report: {run.report}    (open it in a browser)", soft_wrap=True)
    out.print(f"Bundle: {run.bundle}    (all that serving needs)", soft_wrap=True)
    out.print(f"Done in {time.perf_counter() - started:.0f} s.")


def test_batches(experiment: Experiment, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Columns of the test part."""
    part = open_sources(experiment).test
    assert part is not None
    for unit in part.source.units():
        yield from part.source.read(unit, columns)


def best_possible(experiment: Experiment) -> float:
    """AUC on test of the probabilities that the clicks were drawn from."""
    rows = pa.Table.from_batches(list(test_batches(experiment, ["click", "p_click"])))
    metric = build(AUCConfig())
    metric.update(rows["click"].to_numpy().astype(np.float32), rows["p_click"].to_numpy(), None, {})
    return metric.compute()


def serve_one(experiment: Experiment, run: easyrec.Run, out: Console) -> None:
    """Score one page of the test days through the bundle and print it, best first."""
    predictor = Predictor.load(run.bundle or "")
    sides = experiment.generator.inputs
    rows = next(test_batches(experiment, [*sides, "request_id", "title"]))
    first = rows["request_id"][0]
    page = rows.filter(pa.compute.equal(rows["request_id"], first)).to_pylist()
    user = {name: page[0][name] for name, side in sides.items() if side == "user"}
    context = {name: page[0][name] for name, side in sides.items() if side == "context"}
    items = [{name: row[name] for name, side in sides.items() if side == "item"} for row in page]
    scores = predictor.predict(user, items, context)["click"]
    out.print(f"user {user['user_id']}, {len(user['click_seq__cate'])} clicks so far; {len(items)} candidates:")
    for place in np.argsort(-scores):
        out.print(f"  {scores[place]:.3f}  item {items[place]['item_id']:>5}  {page[place]['title']}", markup=False)


if __name__ == "__main__":
    main()
