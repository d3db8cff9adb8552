import pytest
import torch

from easyrec.batch import Seq
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import build
from easyrec.modules.sequence.self_attention import Config

LAYOUT = SequenceLayout("s", (Span("s__item", 6, 0),), (None,))
LENGTHS, OFFSETS = [3, 0, 5, 1], [0, 3, 3, 8, 9]


@pytest.mark.parametrize(
    "keys", [{}, {"positions": 2, "pooling": "sum"}, {"positions": 0, "pooling": "newest"}], ids=str
)
def test_equals_a_loop_over_rows(keys):
    """The transformer itself has a test of its own."""
    torch.manual_seed(0)
    encoder = build(Config(heads=2, **keys), LAYOUT)
    if encoder.positions is not None:
        torch.nn.init.normal_(encoder.positions)
    rows = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
    steps, expected = Seq(torch.randn(9, 6), rows, torch.tensor(OFFSETS)), torch.zeros(4, 6)
    for row, length in enumerate(LENGTHS):
        x = steps.values[OFFSETS[row] : OFFSETS[row + 1]]
        if not length:
            continue
        if encoder.positions is not None:
            x = x + torch.stack(
                [encoder.positions[min(length - 1 - i, len(encoder.positions) - 1)] for i in range(length)]
            )
        x = encoder.transformer(x, torch.tensor([0, length]))
        expected[row] = {"mean": x.mean(0), "sum": x.sum(0), "newest": x[-1]}[encoder.config.pooling]
    torch.testing.assert_close(encoder(steps, None), expected, rtol=1e-4, atol=1e-5)
