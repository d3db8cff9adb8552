"""How often the true worth of a policy lies in the interval that a log gives for it, in a world where it is known.

    python benchmarks/off_policy.py
    python benchmarks/off_policy.py --repetitions 1000 --rows 4000

Each repetition is a log of its own: other requests, other exploration, other clicks.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from record import save

from easyrec.simulate import World, WorldConfig
from easyrec.simulate.off_policy import Trial

BAR = 0.93


def main() -> None:
    """Count, print and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args()
    begun, found = time.process_time(), []
    for seed in args.seeds:
        trial = Trial(World(WorldConfig(seed=seed, ctr=0.1)))
        told: dict[tuple[str, str], list[Any]] = {}
        truths = {}
        for target, _, estimates in trial.repeated(args.rows, args.repetitions):
            truths[target.name] = target.truth
            for name, one in estimates.items():
                told.setdefault((target.name, name), []).append(one)
        for (target_name, name), some in told.items():
            truth = truths[target_name]
            values = np.array([one.value for one in some])
            found.append(
                {
                    "seed": seed,
                    "target": target_name,
                    "estimator": name,
                    "truth": round(truth, 5),
                    "mean": round(float(values.mean()), 5),
                    "std": round(float(values.std()), 5),
                    "told_std": round(float(np.mean([one.std_error for one in some])), 5),
                    "coverage": round(float(np.mean([one.low <= truth <= one.high for one in some])), 4),
                    "effective_rows": round(float(np.mean([one.effective_rows for one in some]))),
                }
            )
            row = found[-1]
            print(" ".join(f"{row[key]!s:>12}" for key in row), flush=True)
    least = min(row["coverage"] for row in found)
    print(f"least coverage {least:.3f}, bar {BAR}")
    save(
        "off_policy",
        {
            "repetitions": args.repetitions,
            "rows": args.rows,
            "least_coverage": least,
            "mean_coverage": round(float(np.mean([row["coverage"] for row in found])), 4),
            "results": found,
            "processor_seconds": round(time.process_time() - begun, 1),
        },
    )


if __name__ == "__main__":
    main()
