import math

import pytest
import torch

from easyrec.batch import Seq
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import build
from easyrec.modules.sequence.target_attention import Config

CHILDREN = (Span("s__item", 4, 0), Span("s__hour", 2, 4), Span("s__cate", 3, 6))
LAYOUT = SequenceLayout("s", CHILDREN, ("item", None, "cate"))
LENGTHS = [3, 0, 5, 1]
OFFSETS = [0, 3, 3, 8, 9]


def inputs():
    torch.manual_seed(1)
    rows = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
    return Seq(torch.randn(9, 9), rows, torch.tensor(OFFSETS)), torch.randn(4, 7)


def looped(encoder, steps, query):
    """Row by row and head by head."""
    result = torch.zeros(4, 9)
    for row in range(4):
        own = steps.values[OFFSETS[row] : OFFSETS[row + 1]]
        if not len(own):
            continue
        keys = torch.cat([own[:, :4], own[:, 6:]], 1)
        if not encoder.heads:
            result[row] = torch.softmax(keys @ query[row] / math.sqrt(7), 0) @ own
            continue
        parts, size = [], encoder.key.out_features // encoder.heads
        for head in range(encoder.heads):
            at = slice(head * size, (head + 1) * size)
            q, k, v = (
                x @ layer.weight[at].T
                for x, layer in ((query[row], encoder.query), (own, encoder.key), (own, encoder.value))
            )
            parts.append(torch.softmax(k @ q / math.sqrt(size), 0) @ v)
        result[row] = torch.cat(parts) @ encoder.out.weight.T
    return result


@pytest.mark.parametrize("heads", [0, 1, 3, 4])
def test_equals_a_loop_over_rows_and_heads(heads):
    torch.manual_seed(0)
    encoder = build(Config(heads=heads), LAYOUT)
    steps, query = inputs()
    torch.testing.assert_close(encoder(steps, query), looped(encoder, steps, query))


def test_large_scores_do_not_overflow():
    steps, query = inputs()
    weighted = build(Config(), LAYOUT)(steps._replace(values=steps.values * 1000), query * 1000)
    assert weighted.isfinite().all()
