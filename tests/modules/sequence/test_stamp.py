from itertools import pairwise

import torch

from easyrec.batch import Seq
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import build
from easyrec.modules.sequence.stamp import Config

LAYOUT = SequenceLayout("s", (Span("s__item", 6, 0),), (None,))
LENGTHS, OFFSETS = [3, 0, 9, 1], [0, 3, 3, 12, 13]


def test_equals_a_loop_over_steps():
    torch.manual_seed(0)
    encoder = build(Config(hidden=4), LAYOUT).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    rows = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
    given, expected = Seq(torch.randn(13, 6), rows, torch.tensor(OFFSETS)), []
    for start, end in pairwise(OFFSETS):
        for step in range(start, end):
            past = given.values[start : step + 1]
            newest, mean = past[-1], past.mean(0)
            memory = torch.zeros(6)
            for x in past:
                hidden = encoder.attention.keys.weight @ x + encoder.of_mean.weight @ mean
                hidden = torch.sigmoid(hidden + encoder.of_newest.weight @ newest + encoder.of_newest.bias)
                memory = memory + (encoder.attention.score.weight[0] @ hidden) * x
            long = torch.tanh(encoder.long.weight @ memory + encoder.long.bias)
            expected.append(long * torch.tanh(encoder.short.weight @ newest + encoder.short.bias))
    expected = torch.stack(expected)
    torch.testing.assert_close(encoder.outputs(given), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder(given, None)[[0, 2, 3]], expected[[2, 11, 12]], rtol=1e-4, atol=1e-5)
