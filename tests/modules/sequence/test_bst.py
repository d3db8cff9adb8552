import math

import pytest
import torch

from easyrec.batch import Seq
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import build
from easyrec.modules.sequence.bst import Config

CHILDREN = (Span("s__item", 4, 0), Span("s__hour", 2, 4), Span("s__cate", 3, 6))
LAYOUT = SequenceLayout("s", CHILDREN, ("item", None, "cate"))
LENGTHS = [3, 0, 5, 1]
OFFSETS = [0, 3, 3, 8, 9]


def made(**keys):
    torch.manual_seed(0)
    encoder = build(Config(**keys), LAYOUT)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return encoder


def inputs():
    torch.manual_seed(1)
    rows = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
    return Seq(torch.randn(9, 9), rows, torch.tensor(OFFSETS)), torch.randn(4, 7)


def layer_norm(x, norm):
    centred = x - x.mean(1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(1, keepdim=True) + norm.eps) * norm.weight + norm.bias


def block(x, layer):
    """One row's steps, head by head."""
    heads, (q, k, v) = [], (x @ w.T for w in layer.attention.heads.projected.weight.chunk(3))
    dim = q.shape[1] // layer.attention.heads.count
    for head in range(layer.attention.heads.count):
        at = slice(head * dim, (head + 1) * dim)
        heads.append(torch.softmax(q[:, at] @ k[:, at].T / math.sqrt(dim), 1) @ v[:, at])
    y = layer_norm(x + torch.cat(heads, 1) @ layer.attention.out.weight.T, layer.norms[0])
    first, _, second = layer.feedforward
    inner = torch.nn.functional.leaky_relu(y @ first.weight.T + first.bias, 0.01)
    return layer_norm(y + inner @ second.weight.T + second.bias, layer.norms[1])


def looped(encoder, steps, query):
    result = torch.zeros(4, 9)
    for row, length in enumerate(LENGTHS):
        if not length:
            continue
        candidate = torch.cat([query[row, :4], torch.zeros(2), query[row, 4:]])
        x = torch.cat([steps.values[OFFSETS[row] : OFFSETS[row + 1]], candidate[None]])
        if encoder.positions is not None:
            x = x + torch.stack(
                [encoder.positions[min(length - i, len(encoder.positions) - 1)] for i in range(length + 1)]
            )
        for layer in encoder.transformer.blocks:
            x = block(x, layer)
        result[row] = {"mean": x.mean(0), "sum": x.sum(0), "candidate": x[-1]}[encoder.config.pooling]
    return result


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"heads": 2, "layers": 2, "feedforward": 5, "positions": 3},
        {"heads": 1, "positions": 0, "pooling": "sum"},
        {"heads": 3, "pooling": "candidate"},
    ],
    ids=["default", "two-layers", "sum", "candidate"],
)
def test_equals_a_loop_over_rows(keys):
    encoder, (steps, query) = made(**keys), inputs()
    torch.testing.assert_close(encoder(steps, query), looped(encoder, steps, query), rtol=1e-4, atol=1e-5)


def test_gradients_equal_those_of_the_loop():
    encoder, grads = made(heads=2), []
    for form in (encoder, lambda steps, query: looped(encoder, steps, query)):
        steps, query = inputs()
        leaves = [steps.values.requires_grad_(), query.requires_grad_(), *encoder.parameters()]
        weights = torch.arange(9.0) - 3
        grads.append(torch.autograd.grad((form(steps, query) * weights).sum(), leaves))
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
