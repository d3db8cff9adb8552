import pytest
import torch

from easyrec.batch import Seq
from easyrec.errors import ConfigError
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import build
from easyrec.modules.sequence.din import Config

CHILDREN = (Span("s__item", 4, 0), Span("s__hour", 2, 4), Span("s__cate", 3, 6))
LAYOUT = SequenceLayout("s", CHILDREN, ("item", None, "cate"))
LENGTHS = [3, 0, 5, 1]


def made(layout=LAYOUT, **keys):
    torch.manual_seed(0)
    encoder = build(Config(**keys), layout)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return encoder.eval()


def inputs():
    torch.manual_seed(1)
    counts = torch.tensor(LENGTHS)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    steps = Seq(torch.randn(9, 9), torch.repeat_interleave(torch.arange(4), counts), offsets)
    return steps, torch.randn(4, 7)


def padded(encoder, steps, query):
    """The paper's unit, row by row over padded steps: MLP of [q, k, q - k, q * k] and the unpaired columns."""
    longest, result = max(LENGTHS), []
    for row, length in enumerate(LENGTHS):
        values = torch.zeros(longest, 9)
        start = int(steps.offsets[row])
        values[:length] = steps.values[start : start + length]
        keys = torch.cat([values[:, :4], values[:, 6:]], 1)
        q = query[row].expand(longest, 7)
        hidden = torch.cat([q, keys, q - keys, q * keys, values[:, 4:6]], 1) @ encoder.first.weight.T
        hidden = hidden + encoder.first.bias
        if encoder.recency is not None:
            age = torch.tensor([min(max(length - 1 - i, 0), len(encoder.recency) - 1) for i in range(longest)])
            hidden = hidden + encoder.recency[age]
        scores = encoder.last(encoder.rest(hidden)).squeeze(1)
        mask = torch.arange(longest) < length
        if encoder.config.softmax:
            weights = torch.softmax(scores.masked_fill(~mask, -1e9), 0) * mask
        else:
            weights = scores * mask
        result.append(weights @ values)
    return torch.stack(result)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"hidden": [8, 5], "activation": "prelu"},
        {"activation": "relu", "softmax": True},
        {"activation": "sigmoid", "positions": 3},
    ],
    ids=["default", "two-layers", "softmax", "positions"],
)
def test_equals_the_padded_form(keys):
    encoder = made(**keys)
    steps, query = inputs()
    torch.testing.assert_close(encoder(steps, query), padded(encoder, steps, query), rtol=1e-4, atol=1e-5)


def test_gradients_equal_those_of_the_padded_form():
    encoder = made(activation="sigmoid", softmax=True)
    grads = []
    for form in (encoder, lambda steps, query: padded(encoder, steps, query)):
        steps, query = inputs()
        values = steps.values.requires_grad_()
        encoder.zero_grad()
        form(steps, query.requires_grad_()).square().sum().backward()
        grads.append([values.grad, query.grad, *(p.grad.clone() for p in encoder.parameters())])
    for jagged, other in zip(*grads, strict=True):
        torch.testing.assert_close(jagged, other, rtol=1e-3, atol=1e-4)


def test_softmax_weights_sum_to_one_and_bear_large_scores():
    encoder = made(softmax=True)
    torch.nn.init.constant_(encoder.last.weight, 500.0)
    steps, query = inputs()
    totals = torch.zeros(4).index_add(0, steps.rows, encoder.weights(steps, query))
    torch.testing.assert_close(totals, torch.tensor([1.0, 0.0, 1.0, 1.0]))


def test_a_sequence_without_candidate_is_refused():
    with pytest.raises(ConfigError, match=r"s__item, s__hour, s__cate\n.*set 'query'"):
        build(Config(), SequenceLayout("s", CHILDREN, (None, None, None)))
