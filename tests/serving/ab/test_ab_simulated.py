"""How often tests are wrong, and how often they find what is there: simulated worlds of benchmarks/ab.py."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from serving.ab import Experiments

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def simulated():
    spec = importlib.util.spec_from_file_location("benchmark_ab", Path(__file__).parents[3] / "benchmarks" / "ab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("before", [0, 4], ids=["plain", "cuped"])
def test_runs_without_a_difference_are_called_different_in_one_of_twenty(simulated, before):
    for share in simulated.fixed(4000, before=before).values():
        assert share == pytest.approx(0.05, abs=0.01)


def test_looking_at_any_time_keeps_the_sequential_test_right_and_spoils_the_other(simulated):
    found = simulated.same(1500)
    for metric in simulated.METRICS:
        assert found["sequential"][metric] <= 0.05
        assert found["fixed, at any look"][metric] > 0.1


def test_a_lift_of_three_per_cent_is_found_at_the_sample_that_is_told(simulated):
    found = simulated.power(300, seed=11)
    assert found["power"] == pytest.approx(0.8, abs=0.07)
    assert found["intervals that hold it"] == pytest.approx(0.95, abs=0.035)
    assert found["mean lift"] == pytest.approx(0.03, abs=0.002)


def test_cuped_reduces_the_variance_as_theory_says_and_stays_unbiased(simulated):
    found = simulated.cuped(3000)
    assert found["over the runs"] == pytest.approx(found["in theory"], rel=0.1)
    assert found["as each says"] == pytest.approx(found["in theory"], rel=0.03)
    assert abs(found["off by"]) < 3.5


def test_a_guardrail_stops_harmless_variants_as_rarely_as_it_says():
    random = np.random.default_rng(0)
    stopped = 0
    for seed in range(150):
        guardrail = {"metric": "ctr", "max_drop": 0.02, "alpha": 0.05}
        variants = [{"name": "a"}, {"name": "b"}]
        experiment = {"name": "deep", "salt": f"s{seed}", "variants": variants, "guardrails": [guardrail]}
        layers = [{"name": "ranking", "experiments": [experiment]}]
        experiments = Experiments.load({"guardrail_every_s": 0, "layers": layers})
        taste, activity = random.beta(2, 10, 400), random.pareto(1.5, 400) + 0.2
        for at, user in enumerate(random.choice(400, 4000, p=activity / activity.sum())):
            found = experiments.assign(f"u{user}")
            experiments.served(found, ms=10.0, exposures=10)
            for _ in range(random.binomial(10, taste[user])):
                experiments.happened(found.unit, found.variants, "click")
            if at % 200 == 199 and experiments.guard.judge():
                stopped += 1
                break
    assert stopped / 150 <= 0.05
