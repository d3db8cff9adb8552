"""Quality on the embedded shop: each config of `configs/shop/` beside the best possible AUC.

`python benchmarks/shop_quality.py [--rows 1150000] [--seeds 101 102] [--only lr deepfm ...]`

1.15 M exposures are 1.0 M of training. A seed is another shop. Finished runs are kept, as long as the commit is the same.
"""

from __future__ import annotations

import argparse
import logging
import statistics
from functools import partial

from record import ROOT, kept, save, table
from sklearn.metrics import roc_auc_score

import easyrec
from easyrec.data import open_sources

CONFIGS = ("lr", "deepfm", "din_pooled", "din")


def one(name: str, rows: int, seed: int) -> dict[str, float]:
    """AUC on the last two days, of a model and of the chances that the clicks were drawn from."""
    drawn = {"rows": rows, "seed": seed}
    where = {f"data.{part}.{key}": value for part in ("train", "valid", "test") for key, value in drawn.items()}
    config = ROOT / "configs" / "shop" / f"{name}.yaml"
    run = easyrec.train(config, overrides={**where, "name": f"shop-{name}-{seed}"}, overwrite=True)
    part = open_sources(easyrec.load_experiment(config, where)).test
    assert part is not None
    clicks, chances = [], []
    for unit in part.source.units():
        for batch in part.source.read(unit, ["click", "p_click"]):
            clicks += batch["click"].to_pylist()
            chances += batch["p_click"].to_pylist()
    best = float(roc_auc_score(clicks, chances))
    return {"auc": run.metrics["test"]["auc"], "best": best, "seconds": run.metrics["seconds"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_150_000)
    parser.add_argument("--seeds", type=int, nargs="*", default=[101, 102])
    parser.add_argument("--only", nargs="*", default=list(CONFIGS), choices=list(CONFIGS))
    args = parser.parse_args()
    logging.disable(logging.INFO)
    rows = []
    for name in args.only:
        runs = [kept("shop_quality", f"{name}-{args.rows}-{s}", partial(one, name, args.rows, s)) for s in args.seeds]
        rows.append(
            {
                "config": name,
                "test AUC": f"{statistics.mean(r['auc'] for r in runs):.4f}",
                "below the best": f"{statistics.mean(r['best'] - r['auc'] for r in runs):.4f}",
                "at most": f"{max(r['best'] - r['auc'] for r in runs):.4f}",
                "seconds": statistics.mean(r["seconds"] for r in runs),
                "by seed": {
                    s: [round(r["auc"], 5), round(r["best"], 5)] for s, r in zip(args.seeds, runs, strict=True)
                },
            }
        )
    table([{k: v for k, v in row.items() if k != "by seed"} for row in rows])
    save("shop_quality", {"rows": args.rows, "configs": rows})


if __name__ == "__main__":
    main()
