from itertools import pairwise

import pytest
import torch
from torch.nn.functional import silu

from easyrec.batch import Seq
from easyrec.errors import ConfigError
from easyrec.layout import SequenceLayout, Span
from easyrec.modules import alike, pointwise_attention
from easyrec.modules.pointwise_attention import RelativeBias, weigh
from easyrec.modules.sequence import build
from easyrec.modules.sequence.hstu import Config

LAYOUT = SequenceLayout("s", (Span("s__item", 6, 0),), (None,))
TIMED = SequenceLayout("s", (Span("s__kind", 2, 0), Span("s__time", 1, 2), Span("s__item", 4, 3)), (None, None, None))
LENGTHS, OFFSETS = [3, 0, 9, 1], [0, 3, 3, 12, 13]


def steps(width=6):
    torch.manual_seed(1)
    rows = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
    values = torch.randn(13, width)
    if width == 7:
        values[:, 2] = torch.rand(13).cumsum(0) * 1000
    return Seq(values, rows, torch.tensor(OFFSETS))


def bias_of(bias, distance, passed):
    found = bias.distances[min(distance, len(bias.distances) - 1)]
    if bias.buckets is None:
        return found
    bucket = int(torch.floor(torch.log(torch.tensor(passed) + 1.0) / 0.3))
    return found + bias.buckets[min(bucket, len(bias.buckets) - 1)]


def weighed(projected, bias, times):
    """(L, H, d) of one row, pair by pair."""
    rows = []
    for step in range(len(projected)):
        heads = torch.zeros(projected.shape[2:])
        for other in range(step + 1):
            added = bias_of(bias, step - other, 0.0 if times is None else float(times[step] - times[other]))
            for head in range(projected.shape[2]):
                score = silu(projected[step, 0, head] @ projected[other, 1, head] + added)
                heads = heads.index_add(0, torch.tensor([head]), (score * projected[other, 2, head] / (step + 1))[None])
        rows.append(heads)
    return torch.stack(rows)


@pytest.mark.parametrize("timed", [False, True], ids=["places", "times"])
@pytest.mark.parametrize("form", ["in-groups", "as-exported"])
def test_attention_equals_a_loop_over_pairs_with_gradients(form, timed, monkeypatch):
    monkeypatch.setattr(alike, "ROWS", 2)
    given, bias = steps(7), RelativeBias(4, 10 if timed else 0)
    torch.nn.init.normal_(bias.distances)
    times = given.values[:, 2] if timed else None
    if timed:
        torch.nn.init.normal_(bias.buckets)
    projected = torch.randn(13, 3, 2, 4, requires_grad=True)
    function = weigh if form == "in-groups" else pointwise_attention._captured
    found = function(projected, given.offsets, bias, times)
    parts = [
        weighed(projected[a:b], bias, None if times is None else times[a:b]) for a, b in pairwise(OFFSETS) if a < b
    ]
    expected = torch.cat(parts)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    weights = torch.randn_like(expected)
    for leaf in (projected, *bias.parameters()):
        grads = [torch.autograd.grad((out * weights).sum(), leaf, retain_graph=True)[0] for out in (found, expected)]
        torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", [LAYOUT, TIMED], ids=["places", "times"])
def test_equals_a_loop_over_rows(layout):
    torch.manual_seed(0)
    timed = layout is TIMED
    encoder = build(
        Config(heads=2, positions=4, distances=5, time="time" if timed else None, buckets=12), layout
    ).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    given, expected = steps(layout.dim), []
    assert encoder.dim == 6
    for start, end in pairwise(OFFSETS):
        if start == end:
            continue
        x, times = given.values[start:end], None
        if timed:
            times, x = x[:, 2], x[:, [0, 1, 3, 4, 5, 6]]
        x = x * 6**0.5 + torch.stack([encoder.positions[min(end - 1 - p, 3)] for p in range(start, end)])
        for layer in encoder.layers:
            gate, values, queries, keys = silu(layer.norms[0](x) @ layer.projected.weight.T).chunk(4, 1)
            projected = torch.stack([values, queries, keys], 1).unflatten(2, (2, 3))
            mixed = weighed(projected, layer.bias, times).flatten(1)
            x = x + (layer.norms[1](mixed) * gate) @ layer.out.weight.T + layer.out.bias
        expected.append(encoder.norm(x))
    torch.testing.assert_close(encoder.outputs(given), torch.cat(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("layout", "time", "text"),
    [
        (TIMED, "hour", "has no child 'hour' to tell the time; it has: kind, time, item"),
        (TIMED, "item", "tells the time of a step by 4 numbers, but should by one"),
        (SequenceLayout("s", (Span("s__time", 1, 0),), (None,)), "time", "nothing tells what it is"),
    ],
    ids=["unknown", "wide", "alone"],
)
def test_a_time_that_is_none_is_refused(layout, time, text):
    with pytest.raises(ConfigError, match=text):
        build(Config(time=time), layout)
