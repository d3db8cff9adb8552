"""Experiments: how often tests are wrong where nothing differs, how often they find what does, and how fast all of it is.

Users are heavy-tailed: activity is Pareto (1.5), tastes are Beta (2, 12), users arrive over half of the time and come
again. A/A: the share of runs that a test calls different, at the end (fixed), at any of all looks (sequential), and, for
comparison, at any look by the test that is made for one. Power: a lift at the sample that the analysis itself says is
needed for it. CUPED: how much of the variance it keeps beside what the correlation says, and its mean error.

    python benchmarks/ab.py                # the speeds, and all simulations
    python benchmarks/ab.py --runs 500     # fewer of them
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

if str(Path(__file__).resolve().parent) in sys.path:  # where `serving` is a script, and not the package
    sys.path.remove(str(Path(__file__).resolve().parent))

from serving.ab import Experiments, load_experiments
from serving.ab.measure import Effect, compare, measure
from serving.ab.statistics import always_valid_p, detectable

METRICS = ("ctr", "clicks")


def world(random: np.random.Generator, users: int, looks: int, lift: float = 0.0, before: int = 0) -> Any:
    """Users with exposures and clicks up to each look: arms (U,), shown (U, L), clicked (U, L), known (U, 2)."""
    activity = np.minimum(random.pareto(1.5, users) + 0.2, 50)
    taste = random.beta(2, 12, users)
    known = np.zeros((users, 2))
    if before:
        known[:, 1] = random.poisson(activity * before)
        known[:, 0] = random.binomial(known[:, 1].astype(int), taste)
    arms = random.integers(0, 2, users)
    shown = random.poisson(activity[:, None], (users, looks))
    shown[np.arange(looks) < random.integers(0, looks // 2 + 1, users)[:, None]] = 0
    clicked = random.binomial(shown, np.minimum(taste * (1 + lift * arms), 1.0)[:, None])
    return arms, shown.cumsum(1).astype(float), clicked.cumsum(1).astype(float), known


def effect_of(metric: str, arms: Any, shown: Any, clicked: Any, known: Any = None) -> tuple[Effect, float]:
    """The effect among the users that were seen, and the control's mean."""
    seen = shown > 0
    covariates = None if known is None else known[seen]
    found = measure(arms[seen], 2, clicked[seen], shown[seen] if metric == "ctr" else None, covariates)
    return compare(found[1], found[0]), found[0].mean


def same(
    runs: int, users: int = 1000, looks: int = 50, scale: float = 0.1, seed: int = 0
) -> dict[str, dict[str, float]]:
    """A/A: shares of runs that are called different."""
    random = np.random.default_rng(seed)
    wrong = {name: dict.fromkeys(METRICS, 0) for name in ("fixed", "sequential", "fixed, at any look")}
    for _ in range(runs):
        arms, shown, clicked, _known = world(random, users, looks)
        for metric in METRICS:
            p, any_look = 1.0, False
            for look in range(looks):
                if (shown[:, look] > 0).sum() < 200:
                    continue
                effect, base = effect_of(metric, arms, shown[:, look], clicked[:, look])
                p = min(p, always_valid_p(effect.difference, effect.variance, scale * base))
                any_look |= effect.p < 0.05
            wrong["fixed"][metric] += effect.p < 0.05
            wrong["sequential"][metric] += p < 0.05
            wrong["fixed, at any look"][metric] += any_look
    return {name: {metric: count / runs for metric, count in counts.items()} for name, counts in wrong.items()}


def fixed(runs: int, users: int = 2000, seed: int = 1, before: int = 0) -> dict[str, float]:
    """A/A at one look, with CUPED where there is a time before."""
    random = np.random.default_rng(seed)
    wrong = dict.fromkeys(METRICS, 0)
    for _ in range(runs):
        arms, shown, clicked, known = world(random, users, 4, before=before)
        for metric in METRICS:
            columns = None if not before else known if metric == "ctr" else known[:, :1]
            wrong[metric] += effect_of(metric, arms, shown[:, -1], clicked[:, -1], columns)[0].p < 0.05
    return {metric: count / runs for metric, count in wrong.items()}


def power(runs: int, lift: float = 0.03, seed: int = 2) -> dict[str, float]:
    """How often a lift of the click rate is found at the sample that a pilot says is needed for four times of five."""
    random = np.random.default_rng(seed)
    arms, shown, clicked, known = world(random, 200_000, 4, before=4)
    effect, base = effect_of("ctr", arms, shown[:, -1], clicked[:, -1], known)
    users = math.ceil(200_000 * (detectable(effect.variance, 0.05, 0.8) / base / lift) ** 2)
    found = held = 0
    lifts = []
    for _ in range(runs):
        arms, shown, clicked, known = world(random, users, 4, lift, before=4)
        effect, _base = effect_of("ctr", arms, shown[:, -1], clicked[:, -1], known)
        found += effect.p < 0.05 and effect.lift > 0
        held += effect.lift_low <= lift <= effect.lift_high
        lifts.append(effect.lift)
    return {
        "users": users,
        "power": found / runs,
        "intervals that hold it": held / runs,
        "mean lift": float(np.mean(lifts)),
    }


def cuped(
    runs: int, users: int = 2000, effect: float = 0.2, correlation: float = 0.8, seed: int = 3
) -> dict[str, float]:
    """What CUPED keeps of the variance of a difference over many runs, and how far its mean is off, in errors of it."""
    random = np.random.default_rng(seed)
    plain: list[float] = []
    adjusted: list[float] = []
    kept: list[float] = []
    for _ in range(runs):
        known = random.exponential(size=users)
        arms = (random.random(users) < 0.3).astype(int)
        rest = math.sqrt(1 - correlation**2)
        value = correlation * known + rest * random.exponential(size=users) + effect * arms
        for to, covariates in ((plain, None), (adjusted, known[:, None])):
            found = measure(arms, 2, value, None, covariates)
            to.append(found[1].mean - found[0].mean)
        kept.append(found[1].variance / found[1].plain)
    spread = np.std(adjusted) / math.sqrt(runs)
    return {
        "in theory": 1 - correlation**2,
        "over the runs": float(np.var(adjusted) / np.var(plain)),
        "as each says": float(np.mean(kept)),
        "off by": float((np.mean(adjusted) - effect) / spread),
    }


# -------------------------------------------------------------------------------------------- speeds


def layers(count: int) -> dict[str, Any]:
    """As many layers, each with two experiments of two variants."""

    def layer(number: int) -> dict[str, Any]:
        variants = [{"name": "a"}, {"name": "b", "parameters": {f"p{number}.x": 1}}]
        return {
            "name": f"l{number}",
            "experiments": [{"name": f"e{number}_{i}", "share": 0.5, "variants": variants} for i in range(2)],
        }

    return {"layers": [layer(number) for number in range(count)]}


def assigning() -> dict[str, float]:
    """Processor time of an assignment."""
    told: dict[str, float] = {}
    units = [f"user-{number}" for number in range(50_000)]
    for count in (1, 4, 16):
        experiments = Experiments.load(layers(count))
        start = time.process_time()
        for unit in units:
            experiments.assign(unit)
        told[f"{count} layers, µs a unit"] = (time.process_time() - start) / len(units) * 1e6
    start = time.process_time()
    Experiments.load(layers(4)).assign_many(range(1_000_000))
    told["a million units at once, 4 layers, s"] = time.process_time() - start
    return told


def analysing(exposures: int = 2_000_000) -> dict[str, float]:
    """Processor time and memory of an analysis of parquet logs."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    from serving.ab.analysis import Asked, analyse  # noqa: PLC0415
    from serving.ab.log import Log  # noqa: PLC0415

    random = np.random.default_rng(0)
    users = exposures // 20
    start_ms = 1_772_323_200_000
    config = load_experiments(
        {
            "layers": [
                {
                    "name": "l",
                    "experiments": [{"name": "e", "start": "2026-03-01", "variants": [{"name": "a"}, {"name": "b"}]}],
                }
            ]
        }
    )
    names = Experiments(config).assign_many([f"u{number}" for number in range(users)])["l"].to_pylist()
    who = random.integers(0, users, exposures)
    at = start_ms + random.integers(-7 * 86_400_000, 14 * 86_400_000, exposures)
    request = [f"r{number // 10}" for number in range(exposures)]
    item = [str(number) for number in random.integers(0, 100_000, exposures)]
    known = [
        [("l", names[user])] if time_ >= start_ms else [] for user, time_ in zip(who.tolist(), at.tolist(), strict=True)
    ]
    table = pa.table(
        {
            "event_id": [str(number) for number in range(exposures)],
            "request_id": request,
            "user_id": pa.array([f"u{user}" for user in who.tolist()]),
            "item_id": item,
            "time": at,
            "experiments": pa.array(known, pa.map_(pa.string(), pa.string())),
        }
    )
    hit = np.flatnonzero(random.random(exposures) < 0.1)
    events = table.take(hit).drop(["experiments"]).append_column("type", pa.array(["click"] * len(hit)))
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(table, Path(folder) / "exposures-1.parquet")
        pq.write_table(events, Path(folder) / "events-1.parquet")
        start, wall = time.process_time(), time.perf_counter()
        log = Log([folder], "user_id")
        read = time.process_time() - start
        analyse(config, log, Asked())
        return {
            "exposures": exposures,
            "users": users,
            "reading, s": read,
            "all of it, s": time.process_time() - start,
            "wall, s": time.perf_counter() - wall,
        }


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4000, help="of each simulation [4000]")
    runs = parser.parse_args().runs
    for name, made in (
        ("assigning", assigning),
        ("analysing", analysing),
        ("A/A, one look", lambda: fixed(runs)),
        ("A/A, one look, CUPED", lambda: fixed(runs, before=4)),
        ("A/A, 50 looks", lambda: same(runs // 2)),
        ("a lift of 3 %", lambda: power(max(runs // 10, 50))),
        ("CUPED", lambda: cuped(runs)),
    ):
        print(f"{name}: {json.dumps(made())}", flush=True)


if __name__ == "__main__":
    main()
