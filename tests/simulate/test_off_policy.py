"""Estimates from logs of a world, against what policies are truly worth there."""

import numpy as np
import pytest

import easyrec.simulate.off_policy as module
from easyrec.simulate import World, WorldConfig
from easyrec.simulate.off_policy import Trial


def trial(monkeypatch, population=2000):
    monkeypatch.setattr(module, "TAUGHT", 3000)
    world = World(WorldConfig(seed=1, ctr=0.1, items=200, users=400))
    return Trial(world, explore=0.5, pool=5, population=population)


def outside(trial, rows, repetitions):
    """How often the truth lay outside, by policy and estimator."""
    missed = {}
    for target, _, estimates in trial.repeated(rows, repetitions):
        for name, one in estimates.items():
            missed.setdefault((target.name, name), []).append(not one.low <= target.truth <= one.high)
    return {key: float(np.mean(value)) for key, value in missed.items()}


def test_the_truth_of_five_policies_lies_in_their_intervals(monkeypatch):
    found = outside(trial(monkeypatch), 1500, 25)
    assert len(found) == 15
    assert np.mean(list(found.values())) < 0.1
    assert max(found.values()) <= 0.3


@pytest.mark.slow
def test_intervals_hold_what_they_promise(monkeypatch):
    found = outside(trial(monkeypatch, 10_000), 5000, 250)
    assert max(found.values()) <= 0.07 + 2 * np.sqrt(0.05 * 0.95 / 250)
    assert np.mean(list(found.values())) <= 0.07


def test_better_policies_are_worth_more(monkeypatch):
    truth = {target.name: target.truth for target in trial(monkeypatch).targets()}
    assert truth["softened best"] > truth["less exploration"] > truth["shuffled"] > truth["upside down"]
