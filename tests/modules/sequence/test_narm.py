from itertools import pairwise

import pytest
import torch

from easyrec.batch import Seq
from easyrec.layout import SequenceLayout, Span
from easyrec.modules import additive_attention
from easyrec.modules.additive_attention import AdditiveAttention
from easyrec.modules.sequence import build
from easyrec.modules.sequence.narm import Config

LAYOUT = SequenceLayout("s", (Span("s__item", 6, 0),), (None,))
LENGTHS, OFFSETS = [3, 0, 9, 1], [0, 3, 3, 12, 13]


def steps():
    torch.manual_seed(1)
    rows = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
    return Seq(torch.randn(13, 6), rows, torch.tensor(OFFSETS))


@pytest.mark.parametrize("most", [1, 60, 1 << 20], ids=["one-query", "some", "all"])
def test_attention_equals_a_loop_over_pairs_with_gradients(most, monkeypatch):
    monkeypatch.setattr(additive_attention, "MOST", most)
    torch.manual_seed(0)
    layer, given = AdditiveAttention(6, 5), steps()
    queries, x = torch.randn(13, 5, requires_grad=True), given.values.requires_grad_()
    expected = []
    for start, end in pairwise(OFFSETS):
        for step in range(start, end):
            found = torch.zeros(6)
            for other in range(start, step + 1):
                hidden = torch.sigmoid(queries[step] + layer.keys.weight @ x[other])
                found = found + (layer.score.weight[0] @ hidden) * x[other]
            expected.append(found)
    expected, found = torch.stack(expected), layer(queries, x, given.offsets)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    weights = torch.randn_like(expected)
    for leaf in (queries, x, *layer.parameters()):
        grads = [torch.autograd.grad((out * weights).sum(), leaf, retain_graph=True)[0] for out in (found, expected)]
        torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)
    last = torch.tensor([2, 0, 11, 12])
    newest = layer.newest(queries[last], x, given)
    torch.testing.assert_close(newest[[0, 2, 3]], expected[[2, 11, 12]], rtol=1e-4, atol=1e-5)
    assert not newest[1].any()


def test_equals_a_loop_over_rows_and_torchs_units():
    torch.manual_seed(0)
    encoder = build(Config(units=4), LAYOUT).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    cell, unit = encoder.cell, torch.nn.GRUCell(6, 4)
    with torch.no_grad():  # theirs: reset, update (of what stays), new; ours: new, reset, update (of what comes)
        new, reset, update = cell.input.weight.chunk(3)
        unit.weight_ih.copy_(torch.cat([reset, -update, new]))
        new, reset, update = cell.input.bias.chunk(3)
        unit.bias_ih.copy_(torch.cat([reset, -update, new]))
        new, reset, update = cell.state.weight.chunk(3)
        unit.weight_hh.copy_(torch.cat([reset, -update, new]))
        unit.bias_hh.zero_()
    given, expected = steps(), []
    for start, end in pairwise(OFFSETS):
        states = [torch.zeros(4)]
        for step in range(start, end):
            states.append(unit(given.values[step][None], states[-1][None])[0])
            found = torch.zeros(4)
            for state in states[1:]:
                hidden = torch.sigmoid(encoder.queries.weight @ states[-1] + encoder.attention.keys.weight @ state)
                found = found + (encoder.attention.score.weight[0] @ hidden) * state
            expected.append(encoder.out.weight @ torch.cat([states[-1], found]))
    expected = torch.stack(expected)
    torch.testing.assert_close(encoder.outputs(given), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder(given, None)[[0, 2, 3]], expected[[2, 11, 12]], rtol=1e-4, atol=1e-5)
