import pytest
import torch

from easyrec.batch import Seq
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import build
from easyrec.modules.sequence.text_cnn import Config

LAYOUT = SequenceLayout("title", (Span("title", 3, 0),), (None,))


def slid(encoder, tokens):
    """The windows of one text, one after another."""
    found = []
    for window, layer in zip(encoder.config.windows, encoder.convolutions, strict=True):
        best = torch.zeros(encoder.config.filters)
        for start in range(len(tokens)):
            seen = torch.zeros(window, 3)
            part = tokens[start : start + window]
            seen[: len(part)] = part
            best = torch.maximum(best, layer.weight @ seen.flatten() + layer.bias)
        found.append(best)
    return encoder.project.weight @ torch.cat(found)


@pytest.mark.parametrize("dim", [None, 7])
def test_equals_a_window_that_slides_over_each_text(dim):
    torch.manual_seed(0)
    encoder = build(Config(windows=[1, 3, 2], filters=4, dim=dim), LAYOUT).eval()
    counts = torch.tensor([4, 0, 1, 2])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    values = torch.randn(7, 3)
    encoded = encoder(Seq(values, torch.repeat_interleave(torch.arange(4), counts), offsets), None)
    assert encoded.shape == (4, dim or 3)
    for row in range(4):
        expected = slid(encoder, values[offsets[row] : offsets[row + 1]])
        torch.testing.assert_close(encoded[row], expected, rtol=1e-5, atol=1e-6)
