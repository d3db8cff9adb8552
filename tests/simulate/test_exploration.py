"""The propensities that the engine writes down are right, and estimates from them are."""

from types import SimpleNamespace

import numpy as np
import pytest

from easyrec.off_policy import Logged, ips, snips
from serving.engine.merge import Candidates
from serving.engine.rerank.epsilon import Config, Epsilon

MANY, SHOWN, LISTS = 6, 3, 12_000
SHARE, POOL = 0.4, 5


@pytest.fixture(scope="module")
def lists():
    """What `epsilon` makes of six candidates, the best first, and how likely it says that each was."""
    stage = Epsilon(Config(share=SHARE, pool=POOL), None, None, {})
    ask = SimpleNamespace(random=np.random.default_rng(11))
    rows = np.arange(MANY)
    candidates = Candidates(rows, np.zeros(MANY, np.int64), -rows.astype(float))
    made = [stage.rerank(ask, candidates, SHOWN) for _ in range(LISTS)]
    return np.stack([one.rows[:SHOWN] for one in made]), np.stack([one.propensity[:SHOWN] for one in made])


def test_what_is_said_of_each_position_is_how_often_it_happens(lists):
    items, said = lists
    assert (np.sort(items, axis=1)[:, 1:] != np.sort(items, axis=1)[:, :-1]).all()
    for position in range(SHOWN):
        above = items[:, :position] @ (10 ** np.arange(position)) if position else np.zeros(LISTS, int)
        for prefix in np.unique(above):
            here = above == prefix
            number = here.sum()
            for item in range(MANY):
                shown = here & (items[:, position] == item)
                if shown.any():
                    (chance,) = np.unique(said[shown, position])
                    error = np.sqrt(chance * (1 - chance) / number)
                    assert abs(shown.sum() / number - chance) < 4.5 * error + 1e-9


def test_the_chances_behind_each_beginning_are_one(lists):
    items, said = lists
    pairs = np.unique(np.column_stack([items[:, :2], said[:, 1]]), axis=0)
    for first in range(POOL):
        assert pairs[pairs[:, 0] == first, 2].sum() == pytest.approx(1.0)
    assert 5 not in items  # it is not in the pool


@pytest.mark.parametrize("way", [ips, snips])
def test_another_exploration_is_told_from_the_log(lists, way):
    items, said = lists
    rates = np.array([0.3, 0.5, 0.2, 0.6, 0.4, 0.9])
    examination = np.array([1.0, 0.6, 0.4])
    wanted = [3, 1, 0, 4, 2]  # the policy's own order of the pool, explored by less
    inside = 0
    target = np.zeros((LISTS, SHOWN))
    left = np.ones((LISTS, MANY), bool)
    for position in range(SHOWN):
        order = np.where(left[:, wanted], np.arange(5), 9).argmin(axis=1)
        best = np.array(wanted)[order]
        chosen = items[:, position]
        target[:, position] = 0.3 / (POOL - position) + 0.7 * (chosen == best)
        left[np.arange(LISTS), chosen] = False
    truth = worth(wanted, rates, examination)
    repetitions = 60
    for seed in range(repetitions):
        random = np.random.default_rng(seed)
        rows = random.integers(0, LISTS, 4000)
        clicks = (random.random((4000, SHOWN)) < rates[items[rows]] * examination).astype(float)
        found = way(Logged(clicks, said[rows], target[rows]), scheme="cascade")
        inside += found.low <= truth <= found.high
    assert inside >= 0.85 * repetitions


def worth(wanted, rates, examination, share=0.3):
    """By all lists that there are."""
    total = 0.0
    for first in range(POOL):
        for second in set(range(POOL)) - {first}:
            for third in set(range(POOL)) - {first, second}:
                chance, left = 1.0, list(wanted)
                for item in (first, second, third):
                    chance *= share / len(left) + (1 - share) * (item == left[0])
                    left.remove(item)
                total += chance * float(rates[[first, second, third]] @ examination)
    return total
