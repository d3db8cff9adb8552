from itertools import pairwise

import pytest
import torch

from easyrec.batch import Seq
from easyrec.layout import SequenceLayout, Span
from easyrec.modules import alike
from easyrec.modules.frequency_filter import FrequencyFilter
from easyrec.modules.sequence import build
from easyrec.modules.sequence.fmlp_rec import Config

LAYOUT = SequenceLayout("s", (Span("s__item", 6, 0),), (None,))
LENGTHS, OFFSETS = [3, 0, 9, 1], [0, 3, 3, 12, 13]


def made(**keys):
    torch.manual_seed(0)
    encoder = build(Config(**keys), LAYOUT).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return encoder


def steps():
    torch.manual_seed(1)
    rows = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
    return Seq(torch.randn(13, 6), rows, torch.tensor(OFFSETS))


def filtered(weight, x, length):
    """(l, W), by Fourier transforms of all N places, the newest step at the end."""
    places = torch.zeros(length, x.shape[1])
    places[length - len(x) :] = x
    found = torch.fft.irfft(torch.fft.rfft(places, dim=0) * torch.complex(*weight), n=length, dim=0)
    return found[length - len(x) :]


@pytest.mark.parametrize("length", [7, 8, 12], ids=["odd", "even", "longer-than-most"])
def test_equals_fourier_transforms_row_by_row(length):
    encoder, given = made(length=length, layers=3, feedforward=5), steps()
    expected = torch.zeros(4, 6)
    for row, (start, end) in enumerate(pairwise(OFFSETS)):
        x = given.values[start:end][-length:]
        if not len(x):
            continue
        x = encoder.norm(x + encoder.positions[: len(x)].flip(0))
        for block in encoder.blocks:
            y = block.norms[0](x + filtered(block.filter.weight, x, length))
            first, _, second = block.feedforward
            x = block.norms[1](y + second(torch.nn.functional.gelu(first(y))))
        expected[row] = x[-1]
    torch.testing.assert_close(encoder(given, None), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["in-groups", "as-exported"])
def test_the_filter_is_a_product_of_spectra_with_gradients(form, monkeypatch):
    monkeypatch.setattr(alike, "ROWS", 2)
    layer, given = FrequencyFilter(6, 9), steps()
    torch.nn.init.normal_(layer.weight)
    x = given.values.requires_grad_()
    expected = torch.cat([filtered(layer.weight, x[a:b], 9) for a, b in pairwise(OFFSETS)])
    found = layer._captured(x, given.offsets) if form == "as-exported" else layer(x, given.offsets)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    newest = layer.newest(x, given)
    torch.testing.assert_close(newest[[0, 2, 3]], expected[[2, 11, 12]], rtol=1e-4, atol=1e-5)
    assert not newest[1].any()
    weights = torch.randn_like(expected)
    for leaf in (x, layer.weight):
        grads = [torch.autograd.grad((out * weights).sum(), leaf, retain_graph=True)[0] for out in (found, expected)]
        torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)


def test_a_step_is_told_by_the_row_before_it_alone():
    encoder, given = made(length=4), steps()
    places = torch.tensor([1, 2, 4, 9, 11])
    known = encoder.unseen(given, places)
    for place, vector in zip(places.tolist(), known, strict=True):
        start = OFFSETS[int(given.rows[place])]
        alone = Seq(given.values[start:place], torch.zeros(place - start).long(), torch.tensor([0, place - start]))
        torch.testing.assert_close(encoder(alone, None)[0], vector, rtol=1e-4, atol=1e-5)
    changed = given.values.clone()
    changed[9:12] = -changed[[11, 9, 10]]
    after = encoder.unseen(given._replace(values=changed), places)
    torch.testing.assert_close(after[:4], known[:4])
    assert not torch.allclose(after[4], known[4])
