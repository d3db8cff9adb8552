"""How sure a gate is that a version is worse, beside plain numbers."""

import math
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from world import loop

from easyrec.loop.config import load_loop
from easyrec.loop.learning import refusal
from easyrec.loop.worsening import FOLD, FOLDS, Measured, measured, parts_of, worsening


def auc(labels, scores):
    ranks = np.argsort(np.argsort(scores)) + 1.0
    ones = labels.sum()
    zeros = len(labels) - ones
    return (ranks[labels].sum() - ones * (ones + 1) / 2) / (ones * zeros) if ones and zeros else math.nan


def told(labels, scores, folds):
    by_fold = {f"auc[{FOLD}={n}]": auc(labels[folds == n], scores[folds == n]) for n in range(FOLDS)}
    return measured({"auc": auc(labels, scores), **by_fold}, "auc", auc(labels, scores))


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """How often a version is refused whose scores are blurred so much more than those of what is served."""
    folder = tmp_path_factory.mktemp("gate")
    config = load_loop(loop(folder, gate={"max_drop": 0.02}))

    def share(rows, blur, runs):
        random, count, by_value = np.random.default_rng(0), 0, 0
        for _ in range(runs):
            taste, folds = random.normal(size=rows), random.integers(0, FOLDS, rows)
            labels = random.random(rows) < 1 / (1 + np.exp(3.2 - taste))
            one, other = (told(labels, taste + random.normal(size=rows) * by, folds) for by in (1.0 + blur, 1.0))
            drop = worsening(one, other, 1.0, 0.95)
            count += bool(refusal(config, one.value, drop))
            by_value += drop.value > 0.02
        return count / runs, by_value / runs

    return share


def test_chance_alone_refuses_hardly_any_version_with_few_positives(refused):
    by_interval, by_value = refused(600, 0.0, 300)  # about 30 positives
    assert by_value > 0.2  # what the bound alone would refuse of versions that are as good
    assert by_interval <= 0.03


def test_a_version_that_is_far_worse_is_refused_as_soon_as_samples_tell(refused):
    assert refused(2000, 20.0, 60)[0] > 0.9
    assert refused(6000, 3.0, 30)[0] > 0.9


def test_the_interval_is_students():
    drops = np.array([0.01, 0.03, -0.02, 0.05, 0.04, 0.0, 0.02, 0.01, 0.03, 0.02])
    former = Measured(0.7, {str(n): 0.7 for n in range(10)})
    value = Measured(0.68, {str(n): 0.7 - drop for n, drop in enumerate(drops)})
    found = worsening(value, former, 1.0, 0.95)
    reach = 2.262157 * drops.std(ddof=1) / np.sqrt(10)
    assert found == pytest.approx((0.02, 0.02 - reach, 0.02 + reach), abs=1e-5)
    better = worsening(former, value, 1.0, 0.95)
    assert better == pytest.approx((-0.02, -0.02 - reach, -0.02 + reach), abs=1e-5)
    assert worsening(value, former, -1.0, 0.95).value == pytest.approx(-0.02)


def test_where_few_parts_tell_nothing_is_known_and_the_config_says_what_becomes_of_it(tmp_path):
    few = {str(n): 0.7 for n in range(4)}
    drop = worsening(Measured(0.5, few), Measured(0.7, few), 1.0, 0.95)
    assert drop[1:] == (-math.inf, math.inf)
    assert refusal(load_loop(loop(tmp_path)), 0.5, drop) == ""
    assert "may be by inf" in refusal(load_loop(loop(tmp_path, gate={"unsure": "refuse"})), 0.5, drop)
    assert refusal(load_loop(loop(tmp_path, gate={"min": 0.6})), 0.5, drop) == "auc 0.50000 is below 0.60000"


def test_a_metric_that_is_not_told_by_parts_is_taken_as_it_is():
    assert worsening(measured({"recall@10": 0.3}, "recall@10", 0.3), Measured(0.4, None), 1.0, 0.95) == (
        pytest.approx(0.1),
        pytest.approx(0.1),
        pytest.approx(0.1),
    )


def test_rows_of_one_user_are_in_one_part(tmp_path):
    users = np.random.default_rng(0).integers(0, 50, 1000)
    pq.write_table(pa.table({"event_id": np.arange(1000), "user_id": users}), tmp_path / "held.parquet")
    table = parts_of(tmp_path / "held.parquet")
    parts = {(user, part) for user, part in zip(users.tolist(), table[FOLD].to_pylist(), strict=True)}
    assert len(parts) == 50
    assert {part for _, part in parts} == set(range(FOLDS))
