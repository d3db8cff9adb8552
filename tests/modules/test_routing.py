"""Routing equals capsules that are made one after another."""

import math

import pytest
import torch

from easyrec.batch import Seq
from easyrec.modules.routing import route, squash


def test_squash_keeps_directions_and_bounds_lengths():
    z = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.3, 0.4]])
    expected = torch.tensor([[0.6, 0.8], [0.0, 0.0], [0.6, 0.8]]) * torch.tensor([[25 / 26], [0.0], [0.2]])
    torch.testing.assert_close(squash(z), expected, rtol=1e-4, atol=1e-6)


def slowly(votes, start, turns):
    """(K, d), the capsules of one row, by loops."""
    steps, count, _ = votes.shape
    b = start.clone()
    for turn in range(turns):
        capsules = []
        for k in range(count):
            z = sum(
                (math.exp(b[step, k]) / sum(math.exp(x) for x in b[step])) * votes[step, k] for step in range(steps)
            ) + torch.zeros(votes.shape[2])
            capsules.append(squash(z))
        if turn < turns - 1:
            b = b + torch.tensor([[float(capsules[k] @ votes[step, k]) for k in range(count)] for step in range(steps)])
    return torch.stack(capsules)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_routing_equals_loops(turns):
    torch.manual_seed(0)
    offsets = torch.tensor([0, 4, 4, 6])
    votes, start = torch.randn(6, 3, 5), torch.randn(6, 3)
    found = route(votes, start, Seq(votes, torch.tensor([0, 0, 0, 0, 2, 2]), offsets), turns)
    torch.testing.assert_close(found[0], slowly(votes[:4], start[:4], turns), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[2], slowly(votes[4:], start[4:], turns), rtol=1e-4, atol=1e-5)
    assert not found[1].any()
