import pytest
import torch

from easyrec.batch import Seq
from easyrec.modules.sequence._next_step import elsewhere, next_step_loss

LENGTHS, OFFSETS = [3, 0, 5, 1], [0, 3, 3, 8, 9]


def steps(lengths=LENGTHS, seed=0):
    drawn = torch.Generator().manual_seed(seed)
    counts = torch.tensor(lengths)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    rows = torch.repeat_interleave(torch.arange(len(lengths)), counts)
    return Seq(torch.randn(sum(lengths), 4, generator=drawn), rows, offsets)


def test_steps_of_other_rows_are_drawn_alike():
    torch.manual_seed(0)
    for row in range(4):
        found = elsewhere(steps(), torch.full((9000,), row))
        counts = torch.bincount(found, minlength=9).tolist()
        others = [step for step in range(9) if not OFFSETS[row] <= step < OFFSETS[row + 1]]
        assert [step for step, count in enumerate(counts) if count] == others
        assert all(abs(counts[step] / 9000 - 1 / len(others)) < 0.02 for step in others)


@pytest.mark.parametrize("lengths", [[4], [0, 4, 0], [0, 0], [1, 1, 0]], ids=str)
def test_there_is_no_loss_without_a_next_step_and_another_row(lengths):
    given = steps(lengths)
    assert next_step_loss(given.values, given) is None


def test_the_loss_equals_a_loop():
    given, states = steps(), torch.randn(9, 4, requires_grad=True)
    places = [(row, step) for row in range(4) for step in range(OFFSETS[row], OFFSETS[row + 1] - 1)]
    torch.manual_seed(7)
    others = elsewhere(given, torch.tensor([row for row, _ in places])).tolist()
    terms = []
    for (_, step), other in zip(places, others, strict=True):
        right = torch.sigmoid(states[step] @ given.values[step + 1])
        wrong = torch.sigmoid(states[step] @ given.values[other])
        terms.append(-torch.log(right) - torch.log(1 - wrong))
    expected = torch.stack(terms).mean()
    torch.manual_seed(7)
    found = next_step_loss(states, given)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(loss, states)[0] for loss in (found, expected)))
