import math

import pytest
import torch
from torch.nn.functional import normalize

from easyrec.batch import Seq
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import _encoder, build
from easyrec.modules.sequence.sdim import Config

LAYOUT = SequenceLayout("s", (Span("s__item", 4, 0), Span("s__hour", 2, 4), Span("s__cate", 3, 6)), ("i", None, "c"))
LENGTHS = [3, 0, 5, 1]


def made(**keys):
    torch.manual_seed(0)
    return build(Config(**keys), LAYOUT).eval()


def inputs(lengths, seed=1):
    torch.manual_seed(seed)
    counts = torch.tensor(lengths)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    rows = torch.repeat_interleave(torch.arange(len(lengths)), counts)
    return Seq(torch.randn(int(offsets[-1]), 9), rows, offsets), torch.randn(len(lengths), 7)


@pytest.mark.parametrize(("signatures", "width"), [(1, 1), (16, 3), (5, 2)])
def test_is_the_sum_weighted_by_collisions_signature_by_signature(signatures, width):
    encoder, (steps, query) = made(signatures=signatures, width=width), inputs(LENGTHS)
    found = encoder(steps, query)
    directions = encoder.directions.view(7, width, signatures)
    for row, length in enumerate(LENGTHS):
        start = int(steps.offsets[row])
        counts = torch.zeros(length)
        for place in range(length):
            step = steps.values[start + place]
            key = torch.cat([step[:4], step[6:]])
            for signature in range(signatures):
                axes = [directions[:, bit, signature] for bit in range(width)]
                counts[place] += all((key @ a > 0) == (query[row] @ a > 0) for a in axes)
        expected = normalize(counts, dim=0) @ steps.values[start : start + length]
        torch.testing.assert_close(found[row], expected, rtol=1e-5, atol=1e-6)


def test_collisions_are_as_likely_as_the_angle_says():
    encoder = made(signatures=3000, width=3)
    steps, query = inputs([4])
    shares = encoder.shares(steps, query)
    for place, share in enumerate(shares.tolist()):
        key = encoder.compared(steps.values)[place]
        angle = math.acos(float(normalize(key, dim=0) @ normalize(query[0], dim=0)))
        assert share == pytest.approx((1 - angle / math.pi) ** 3, abs=0.03)


def test_parts_are_the_whole(monkeypatch):
    encoder, (steps, query) = made(), inputs([30, 0, 41])
    whole = encoder.shares(steps, query)
    monkeypatch.setattr(_encoder, "PART", 8)
    torch.testing.assert_close(encoder.shares(steps, query), whole)


def test_signs_are_taken_in_float32():
    encoder, (steps, query) = made(), inputs([50])
    with torch.autocast("cpu", torch.bfloat16):
        rounded = encoder.shares(steps, query)
    torch.testing.assert_close(rounded, encoder.shares(steps, query))


def test_the_directions_belong_to_the_model():
    assert "directions" in made().state_dict()
    assert not list(made().parameters())
