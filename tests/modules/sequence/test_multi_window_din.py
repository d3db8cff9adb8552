import pytest
import torch

from easyrec.batch import Seq
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import build
from easyrec.modules.sequence.multi_window_din import Config

CHILDREN = (Span("s__item", 4, 0), Span("s__hour", 2, 4), Span("s__cate", 3, 6))
LAYOUT = SequenceLayout("s", CHILDREN, ("item", None, "cate"))
LENGTHS = [3, 0, 6, 1]


@pytest.mark.parametrize("windows", [[1, 2, 4], [2], [1, 1], [9]], ids=str)
def test_each_window_is_the_mean_of_its_weighted_steps(windows):
    torch.manual_seed(0)
    encoder = build(Config(windows=windows, activation="relu"), LAYOUT)
    rows = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
    steps, query = Seq(torch.randn(10, 9), rows, torch.tensor([0, 3, 3, 9, 10])), torch.randn(4, 7)
    weighted = encoder.weights(steps, query)[:, None] * steps.values
    expected = torch.zeros(4, len(windows), 9)
    for row in range(4):
        newest_first = weighted[int(steps.offsets[row]) : int(steps.offsets[row + 1])].flip(0)
        for number, size in enumerate(windows):
            inside, newest_first = newest_first[:size], newest_first[size:]
            if len(inside):
                expected[row, number] = inside.mean(0)
    torch.testing.assert_close(encoder(steps, query), expected.flatten(1))
