"""Trials on shares of the rows: the best go on to more of them."""

import numpy as np
import pytest

import easyrec
from easyrec.errors import ConfigError
from easyrec.tune.search import load_search

RATES = {"choice": [0.1, 1e-7, 1e-6, 1e-8]}


@pytest.fixture
def halved(config, data, tmp_path):
    """`(**settings)`: a search of four rates, three of them hopeless, by shares of the rows."""

    def run(folder="study", **settings):
        given = {
            "tune.sampler": "grid",
            "tune.budget": {},
            "tune.rows": [0.25, 0.5, 1.0],
            "train.sparse_optimizer.lr": RATES,
            "train.epochs": 1,
            **{key.replace("__", "."): value for key, value in settings.items()},
        }
        return easyrec.tune(config, data=data, run_dir=tmp_path / folder, overrides=given, progress=False)

    return run


def test_the_best_on_a_share_go_on_and_end_as_on_all_rows(halved, config, data, tmp_path):
    found = halved()
    whole = [row for row in found.rows if row.state == "complete"]
    ended = [row for row in found.rows if row.state == "pruned"]
    assert all(len(row.curve) == 3 for row in whole)
    assert {row.reason for row in ended} <= {"ended at 0.25 of the rows", "ended at 0.5 of the rows"}
    assert len(ended) >= 2
    assert float(found.values["train.sparse_optimizer.lr"]) > 0.01
    best = easyrec.train(found.config, data=data, run_dir=tmp_path / "run", progress=False, export=False)
    assert best.metrics["valid"]["auc"] == pytest.approx(found.outcome["auc"], abs=1e-9)


@pytest.mark.slow
def test_the_newest_rows_are_read_of_the_cache_and_of_the_rows_themselves(halved, data):
    for frame in data.values():
        frame["time"] = np.arange(len(frame))
    rows = {"shares": [0.5, 1.0], "by": "time", "column": "time"}
    first, second = halved("a", tune__rows=rows), halved("b", tune__rows=rows, tune__cache=False)
    assert [r.curve for r in first.rows] == [pytest.approx(r.curve, abs=1e-6) for r in second.rows]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tune.rows": [0.5, 0.9]}, "must ascend from above 0 to 1, but are 0.5, 0.9"),
        ({"tune.rows": [0.5, 0.5, 1.0]}, "must ascend"),
        ({"tune.rows": {"by": "time"}}, "'by: time' goes with a 'column'"),
        (
            {"tune.rows": {"by": "time", "column": "day"}, "tune.pruner": "none"},
            "this takes one objective, and a pruner",
        ),
        ({"tune.rows": [0.5, 1.0], "tune.objectives": ["auc", "parameters"], "tune.pruner": "none"}, "one objective"),
    ],
)
def test_shares_that_cannot_be_are_told(config, settings, message):
    with pytest.raises(ConfigError, match=message):
        load_search(config, settings, given=("train", "valid"))


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, [1, 3, 9]),
        ({"tune.pruner": "median"}, [1, 2, 3]),
        ({"tune.rows": None, "tune.pruner": "halving"}, [1, 2, 3]),
    ],
    ids=["halving", "median", "no-rows"],
)
def test_pruners_are_told_of_shares_as_they_count(config, settings, steps):
    search = load_search(config, {"tune.rows": [0.1, 0.5, 1.0], **settings}, given=("train", "valid"))
    assert [search.step(number) for number in (1, 2, 3)] == steps
