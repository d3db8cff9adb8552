import math
from itertools import combinations

import pytest
import torch

from easyrec.modules.interaction_machine import InteractionMachine


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_equals_the_sum_over_all_sets_of_fields(order):
    torch.manual_seed(0)
    fields = torch.randn(4, 5, 3)
    expected = [
        sum(torch.stack([fields[:, i] for i in chosen]).prod(0) for chosen in combinations(range(5), k))
        for k in range(1, order + 1)
    ]
    torch.testing.assert_close(InteractionMachine(order)(fields), torch.cat(expected, 1), rtol=1e-4, atol=1e-4)


def test_more_fields_than_there_are_cannot_meet():
    assert InteractionMachine(4)(torch.randn(3, 2, 2))[:, 4:].abs().max() < 1e-5


def test_equal_fields_count_the_sets():
    counts = InteractionMachine(4)(torch.ones(1, 6, 1))[0]
    assert counts.tolist() == pytest.approx([math.comb(6, k) for k in range(1, 5)])
