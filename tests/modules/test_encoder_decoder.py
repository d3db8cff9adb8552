"""An encoder and a decoder equal loops over rows and tokens; what is kept of tokens before changes nothing."""

import math

import pytest
import torch

from easyrec.batch import Seq
from easyrec.modules.cross_attention import _captured, attend_across
from easyrec.modules.encoder_decoder import Decoder, Encoder, EncoderDecoderConfig, RMSNorm

CONFIG = EncoderDecoderConfig(width=6, layers=2, decoder_layers=2, heads=2, head_dim=5, feedforward=7, dropout=0.0)


def jagged(values, lengths):
    counts = torch.tensor(lengths, dtype=torch.int64)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return Seq(values, torch.repeat_interleave(torch.arange(len(lengths)), counts), offsets)


@pytest.mark.parametrize("lengths", [[3, 0, 9, 1, 30, 2], [4, 4], [0, 0], []])
def test_attention_across_equals_a_loop(lengths):
    torch.manual_seed(1)
    queries = torch.randn(len(lengths), 3, 2, 5, requires_grad=True)
    steps = jagged(torch.randn(sum(lengths), 2, 2, 5, requires_grad=True), lengths)
    expected = torch.zeros(len(lengths), 3, 2, 5)
    for row, length in enumerate(lengths):
        keys, values = steps.values[steps.offsets[row] : steps.offsets[row + 1]].unbind(1)
        for head in range(2):
            scores = queries[row, :, head] @ keys[:, head].T / math.sqrt(5)
            if length:
                expected[row, :, head] = torch.softmax(scores, 1) @ values[:, head]
    torch.testing.assert_close(attend_across(queries, steps), expected)
    torch.testing.assert_close(_captured(queries, steps), expected)
    if sum(lengths):
        grads = [
            torch.autograd.grad(f(queries, steps).square().sum(), (queries, steps.values))
            for f in (attend_across, _captured)
        ]
        torch.testing.assert_close(*grads)


def rms(x, norm):
    return norm.gain * x / torch.sqrt((x**2).mean() + 1e-6)


def test_the_norm_is_the_formula():
    norm = RMSNorm(4)
    norm.gain.data = torch.tensor([1.0, 2.0, -1.0, 0.5])
    x = torch.randn(3, 4)
    torch.testing.assert_close(norm(x), torch.stack([rms(row, norm) for row in x]))


def heads_of(weight, x, parts):
    """(parts, H, n, d) of the projections of n tokens."""
    return (x @ weight.T).view(len(x), parts, 2, 5).permute(1, 2, 0, 3)


def attended(queries, keys, values, out, causal=False):
    scores = queries @ keys.transpose(1, 2) / math.sqrt(5)
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores[0], dtype=torch.bool).triu(1), -math.inf)
    mixed = torch.softmax(scores, 2) @ values
    return mixed.permute(1, 0, 2).flatten(1) @ out.weight.T


def fed(block, number, x):
    first, _, _, second = block.feedforward
    return torch.relu(torch.stack([rms(row, block.norms[number]) for row in x]) @ first.weight.T) @ second.weight.T


def normed(x, norm):
    return torch.stack([rms(row, norm) for row in x])


def encoded_slowly(encoder, x):
    """One row's tokens."""
    for block in encoder.blocks:
        q, k, v = heads_of(block.attention.heads.projected.weight, normed(x, block.norms[0]), 3)
        x = x + attended(q, k, v, block.attention.out)
        x = x + fed(block, 1, x)
    return normed(x, encoder.norm)


def decoded_slowly(decoder, x, seen):
    """One sequence of tokens after what the encoder gave for its row."""
    for block in decoder.blocks:
        q, k, v = heads_of(block.attention.projected.weight, normed(x, block.norms[0]), 3)
        x = x + attended(q, k, v, block.attention.out, causal=True)
        (q,) = heads_of(block.across.query.weight, normed(x, block.norms[1]), 1)
        k, v = heads_of(block.across.projected.weight, seen, 2)
        x = x + attended(q, k, v, block.across.out)
        x = x + fed(block, 2, x)
    return normed(x, decoder.norm)


@pytest.fixture
def made():
    torch.manual_seed(2)
    lengths = [3, 5, 1, 12]
    steps = jagged(torch.randn(sum(lengths), 6), lengths)
    return Encoder(CONFIG).eval(), Decoder(CONFIG).eval(), steps, torch.randn(4, 3, 6)


def test_both_equal_loops_over_rows(made):
    encoder, decoder, steps, x = made
    encoded = encoder(steps.values, steps.offsets)
    hidden, _ = decoder(x, decoder.memory(steps._replace(values=encoded)))
    for row in range(4):
        part = slice(int(steps.offsets[row]), int(steps.offsets[row + 1]))
        torch.testing.assert_close(encoded[part], encoded_slowly(encoder, steps.values[part]), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(hidden[row], decoded_slowly(decoder, x[row], encoded[part]), rtol=1e-4, atol=1e-5)


def test_token_by_token_equals_all_at_once(made):
    """Two sequences of each row, written side by side."""
    _, decoder, steps, _ = made
    memory, x = decoder.memory(steps), torch.randn(8, 3, 6)
    twice = torch.repeat_interleave(torch.arange(4), 2)
    whole = torch.stack(
        [
            decoder(
                x[i : i + 1], decoder.memory(jagged(steps.values[steps.rows == row], [int((steps.rows == row).sum())]))
            )[0][0]
            for i, row in enumerate(twice.tolist())
        ]
    )
    past, parts = None, []
    for token in range(3):
        hidden, past = decoder(x[:, token : token + 1], memory, past)
        parts.append(hidden)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-5)


def test_later_tokens_change_nothing_before(made):
    _, decoder, steps, x = made
    memory = decoder.memory(steps)
    before, _ = decoder(x, memory)
    changed = x.clone()
    changed[:, 2] += 1.0
    after, _ = decoder(changed, memory)
    torch.testing.assert_close(after[:, :2], before[:, :2])
    assert not torch.allclose(after[:, 2], before[:, 2])
