import pytest
import torch

from easyrec.batch import Seq
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import build
from easyrec.modules.sequence._next_step import elsewhere
from easyrec.modules.sequence.dmr import Config

CHILDREN = (Span("s__item", 4, 0), Span("s__hour", 2, 4), Span("s__cate", 3, 6))
LAYOUT = SequenceLayout("s", CHILDREN, ("item", None, "cate"))
LENGTHS, OFFSETS = [3, 0, 5, 1], [0, 3, 3, 8, 9]


def made(**keys):
    torch.manual_seed(0)
    encoder = build(Config(**{"units": 5, **keys}), LAYOUT)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return encoder


def inputs():
    torch.manual_seed(1)
    rows = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
    return Seq(torch.randn(9, 9), rows, torch.tensor(OFFSETS)), torch.randn(4, 7)


def scores(unit, own, query):
    result = []
    for index, step in enumerate(own):
        position = min(len(own) - 1 - index, len(unit.positions) - 1)
        hidden = unit.step.weight @ step + unit.positions[position]
        if unit.query is not None:
            hidden = hidden + unit.query.weight @ query
        result.append((unit.last.weight @ torch.tanh(hidden)).squeeze(0))
    return torch.stack(result)


def user(encoder, weights, own):
    layer, prelu = encoder.user
    x = layer.weight @ (weights @ own) + layer.bias
    return torch.where(x > 0, x, prelu.weight * x)


@pytest.mark.parametrize("keys", [{}, {"positions": 2}], ids=["default", "positions"])
def test_equals_a_loop_over_rows(keys):
    encoder, (steps, query) = made(**keys), inputs()
    expected = torch.zeros(4, 11)
    for row in range(4):
        own = steps.values[OFFSETS[row] : OFFSETS[row + 1]]
        if not len(own):
            continue
        matches = scores(encoder.item_unit, own, query[row])
        vector = user(encoder, torch.softmax(scores(encoder.user_unit, own, None), 0), own)
        relevance = vector @ (encoder.item.weight @ query[row])
        expected[row] = torch.cat([torch.softmax(matches, 0) @ own, relevance[None], matches.sum()[None]])
    torch.testing.assert_close(encoder.eval()(steps, query), expected, rtol=1e-4, atol=1e-5)


def test_the_auxiliary_loss_equals_a_loop():
    encoder, (steps, query) = made(negatives=3, auxiliary=0.5).train(), inputs()
    torch.manual_seed(7)
    others = elsewhere(steps, torch.tensor([0, 0, 0, 2, 2, 2])).view(2, 3)
    losses = []
    for row, negatives in zip((0, 2), others, strict=True):  # the others have no two steps
        own = steps.values[OFFSETS[row] : OFFSETS[row + 1]]
        before = torch.softmax(scores(encoder.user_unit, own, None)[:-1], 0)  # positions as in the whole
        vector = user(encoder, before, own[:-1])
        items = torch.cat([own[-1:], steps.values[negatives]])
        items = torch.cat([items[:, :4], items[:, 6:]], 1) @ encoder.item.weight.T
        losses.append(-torch.log_softmax(items @ vector, 0)[0])
    torch.manual_seed(7)
    encoder(steps, query)
    torch.testing.assert_close(encoder.auxiliary, 0.5 * torch.stack(losses).mean())
    encoder.auxiliary.backward()
    assert all(p.grad.isfinite().all() for p in encoder.user_unit.parameters())


def test_no_weight_no_loss():
    encoder = made(auxiliary=0.0).train()
    encoder(*inputs())
    assert encoder.auxiliary is None
