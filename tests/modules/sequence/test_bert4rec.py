from itertools import pairwise

import pytest
import torch

from easyrec.batch import Seq
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import build
from easyrec.modules.sequence.bert4rec import Config

LAYOUT = SequenceLayout("s", (Span("s__item", 6, 0),), (None,))
LENGTHS, OFFSETS = [3, 0, 9, 1], [0, 3, 3, 12, 13]


def made(**keys):
    torch.manual_seed(0)
    encoder = build(Config(**keys), LAYOUT).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return encoder


def steps():
    torch.manual_seed(1)
    rows = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
    return Seq(torch.randn(13, 6), rows, torch.tensor(OFFSETS))


def told(encoder, values):
    """(L, D), of every step of one row, block by block."""
    x = values
    if encoder.positions is not None:
        last = len(encoder.positions) - 1
        x = x + torch.stack([encoder.positions[min(len(x) - 1 - i, last)] for i in range(len(x))])
    x = encoder.norms[0](x)
    for block in encoder.transformer.blocks:
        heads = block.attention.heads
        queries, keys, mixed = heads.projected(x).unflatten(1, (3, heads.count, heads.dim)).unbind(1)
        parts = []
        for head in range(heads.count):
            scores = torch.softmax(queries[:, head] @ keys[:, head].T / heads.dim**0.5, 1)
            parts.append(scores @ mixed[:, head])
        y = block.norms[0](x + torch.cat(parts, 1) @ block.attention.out.weight.T)
        first, _, second = block.feedforward
        x = block.norms[1](y + second(torch.nn.functional.gelu(first(y))))
    return encoder.norms[1](torch.nn.functional.gelu(encoder.out(x)))


@pytest.mark.parametrize("keys", [{}, {"positions": 4, "layers": 1, "heads": 3, "feedforward": 5}], ids=str)
def test_hidden_steps_equal_a_loop_over_rows(keys):
    encoder, given = made(**keys), steps()
    places = torch.tensor([1, 2, 3, 7, 11])
    masked = given.values.clone()
    masked[places] = encoder.mask.detach()
    expected = torch.cat([told(encoder, masked[a:b]) for a, b in pairwise(OFFSETS) if a < b])
    torch.testing.assert_close(encoder.unseen(given, places), expected[places], rtol=1e-4, atol=1e-5)


def test_the_next_step_is_a_mask_behind_the_newest():
    encoder, given = made(), steps()
    found = encoder(given, None)
    for row, (start, end) in enumerate(pairwise(OFFSETS)):
        if start == end:
            assert not found[row].any()
            continue
        expected = told(encoder, torch.cat([given.values[start:end], encoder.mask[None]]))[-1]
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)


def test_no_hidden_step_is_seen_and_all_others_are():
    encoder, given = made(), steps()
    places = torch.tensor([1, 5, 8])
    before = encoder.unseen(given, places)
    changed = given.values.clone()
    changed[places] *= -1.0
    torch.testing.assert_close(encoder.unseen(given._replace(values=changed), places), before)
    changed[11] *= -1.0  # behind the hidden ones of row 2
    after = encoder.unseen(given._replace(values=changed), places)
    torch.testing.assert_close(after[0], before[0])
    assert not torch.isclose(after[1:], before[1:]).all(1).any()
