import math

import pytest
import torch

from easyrec.batch import Seq
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import build
from easyrec.modules.sequence._next_step import next_step_loss
from easyrec.modules.sequence.dmin import Config

CHILDREN = (Span("s__item", 4, 0), Span("s__hour", 2, 4), Span("s__cate", 3, 6))
LAYOUT = SequenceLayout("s", CHILDREN, ("item", None, "cate"))
LENGTHS, OFFSETS = [3, 0, 5, 1], [0, 3, 3, 8, 9]


def made(**keys):
    torch.manual_seed(0)
    encoder = build(Config(**{"activation": "relu", **keys}), LAYOUT)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return encoder


def inputs():
    torch.manual_seed(1)
    rows = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
    return Seq(torch.randn(9, 9), rows, torch.tensor(OFFSETS)), torch.randn(4, 7)


def looped(encoder, steps, query):
    """Row by row and interest by interest; the block itself has a test of its own."""
    result = torch.zeros(4, encoder.config.interests, 7)
    unit, dim = encoder.unit, encoder.heads.dim
    for row, length in enumerate(LENGTHS):
        if not length:
            continue
        own = encoder.refiner(steps.values[OFFSETS[row] : OFFSETS[row + 1]], torch.tensor([0, length]))
        q, k, v = (own @ w.T for w in encoder.heads.projected.weight.chunk(3))
        for interest in range(encoder.config.interests):
            at = slice(interest * dim, (interest + 1) * dim)
            scores = (q[:, at] @ k[:, at].T / math.sqrt(dim)).masked_fill(
                torch.ones(length, length).triu(1) > 0, -torch.inf
            )
            z = torch.softmax(scores, 1) @ v[:, at] @ encoder.projections[interest]
            c = query[row].expand(length, 7)
            hidden = torch.cat([c, z, c - z, c * z], 1) @ unit.first.weight.T + unit.first.bias
            hidden = hidden + torch.stack(
                [unit.recency[min(length - 1 - i, len(unit.recency) - 1)] for i in range(length)]
            )
            result[row, interest] = torch.softmax(unit.last(unit.rest(hidden)).squeeze(1), 0) @ z
    return result.flatten(1)


@pytest.mark.parametrize(
    "keys", [{}, {"interests": 2, "heads": 3, "hidden": [6, 5], "positions": 2}], ids=["default", "small"]
)
def test_equals_a_loop_over_rows(keys):
    encoder, (steps, query) = made(**keys).eval(), inputs()
    torch.testing.assert_close(encoder(steps, query), looped(encoder, steps, query), rtol=1e-4, atol=1e-5)


def test_refined_steps_tell_the_next_one():
    encoder, (steps, query) = made(auxiliary=0.5).train(), inputs()
    torch.manual_seed(7)
    encoder(steps, query)
    torch.manual_seed(7)
    expected = next_step_loss(encoder.refiner(steps.values, steps.offsets), steps)
    torch.testing.assert_close(encoder.auxiliary, 0.5 * expected)


def test_a_refined_step_does_not_know_the_next_one():
    encoder, (steps, _) = made().eval(), inputs()
    before = encoder.refiner(steps.values, steps.offsets)
    changed = steps.values.clone()
    changed[[2, 7]] += 1.0  # the newest steps of two rows
    after = encoder.refiner(changed, steps.offsets)
    same = torch.tensor([0, 1, 3, 4, 5, 6, 8])
    torch.testing.assert_close(after[same], before[same])
    assert not torch.allclose(after[[2, 7]], before[[2, 7]])
