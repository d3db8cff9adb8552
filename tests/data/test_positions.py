"""Which steps of a sequence are learned: that chance is fair, that it is told what to expect, and who is left out."""

import numpy as np
import pytest

from easyrec.config.steps import LearnedSteps
from easyrec.data.positions import draw, expected

OFFSETS = np.array([0, 0, 1, 3, 10, 10, 30, 30])
LENGTHS = np.diff(OFFSETS)


def counted(learned, draws=4000):
    random = np.random.default_rng(1)
    found = np.zeros(OFFSETS[-1])
    for _ in range(draws):
        places = draw(learned, OFFSETS, random)
        assert (np.diff(places) > 0).all()
        found[places] += 1
    return found / draws


def test_every_step_after_the_first_is_learned():
    places = draw(LearnedSteps(), OFFSETS, np.random.default_rng(0))
    assert places.tolist() == [2, *range(4, 10), *range(11, 30)]
    np.testing.assert_array_equal(np.flatnonzero(expected(LearnedSteps(), OFFSETS)), places)
    assert set(expected(LearnedSteps(), OFFSETS)) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("learned", "of_rows"),
    [
        (LearnedSteps(most=4), [0, 0, 1, 4, 0, 4, 0]),
        (LearnedSteps(share=0.3), [0, 0, 1, 2, 0, 6, 0]),
        (LearnedSteps(share=0.3, last=1.0), [0, 0, 1, 1, 0, 1, 0]),
        (LearnedSteps(share=1.0), [0, 0, 2, 7, 0, 20, 0]),
    ],
    ids=["most", "share", "last", "all"],
)
def test_so_many_of_each_row_are_drawn(learned, of_rows):
    for seed in range(5):
        places = draw(learned, OFFSETS, np.random.default_rng(seed))
        rows = np.searchsorted(OFFSETS, places, side="right") - 1
        assert np.bincount(rows, minlength=7).tolist() == of_rows
        if learned.last == 1.0:
            assert places.tolist() == [2, 9, 29]


@pytest.mark.parametrize(
    "learned",
    [LearnedSteps(most=4), LearnedSteps(share=0.3), LearnedSteps(share=0.2, last=0.25)],
    ids=["most", "share", "last"],
)
def test_steps_are_drawn_as_often_as_is_expected(learned):
    np.testing.assert_allclose(counted(learned), expected(learned, OFFSETS), atol=0.04)


@pytest.mark.parametrize("learned", [LearnedSteps(), LearnedSteps(most=2), LearnedSteps(share=0.5, last=0.5)], ids=str)
@pytest.mark.parametrize("offsets", [[0], [0, 0, 0], [0, 1]], ids=str)
def test_without_a_second_step_there_is_nothing_to_learn(learned, offsets):
    assert draw(learned, np.array(offsets), np.random.default_rng(0)).tolist() == []
    assert not expected(learned, np.array(offsets)).any()


def test_the_same_chance_draws_the_same():
    learned = LearnedSteps(share=0.3, last=0.1)
    first, again, other = (draw(learned, OFFSETS, np.random.default_rng(seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()
