"""What a feature is worth to several tasks."""

import numpy as np
import pytest

from easyrec.tune.select.methods.permutation import hardest


def test_one_task_is_taken_as_it_is():
    drops = np.array([[[0.3], [0.1]], [[-0.2], [0.0]]])
    np.testing.assert_array_equal(hardest(drops, [False, True]), drops[:, :, 0])


@pytest.mark.parametrize("times", [1.0, 1000.0], ids=["a-rare-label", "in-another-unit"])
def test_a_task_that_jumps_about_hides_nothing_of_another(times):
    """Of a copy the drops are .01 and -.01, and .1 and -.1 of the other task: a tenth of its drops counts."""
    drops = np.array(
        [
            [[0.05, 0.08], [0.05, -0.08]],  # worth 5 times the noise of the first task, and nothing to the other
            [[0.00, 0.90], [0.01, 0.70]],  # the other way round
            [[0.01, 0.10], [-0.01, -0.10]],
        ]
    )
    drops[:, :, 1] *= times
    found = hardest(drops, [False, False, True])
    np.testing.assert_allclose(found, [[0.05, 0.05], [0.09, 0.07], [0.01, -0.01]])


def test_a_task_that_nothing_changes_does_not_count():
    drops = np.array([[[0.2, 0.0]], [[0.1, 0.0]]])
    np.testing.assert_allclose(hardest(drops, [False, True]), [[0.2], [0.1]])
    np.testing.assert_array_equal(hardest(0 * drops, [False, True]), [[0.0], [0.0]])


def test_without_copies_all_drops_tell_the_scale():
    drops = np.array([[[0.3, 3.0]], [[-0.1, 1.0]]])
    np.testing.assert_allclose(hardest(drops, [False, False]), [[0.3], [0.1]])
