import math

import pytest
import torch

from easyrec.batch import Seq
from easyrec.errors import ConfigError
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import build
from easyrec.modules.sequence.pdn import Config

CHILDREN = (Span("s__item", 4, 0), Span("s__hour", 2, 4), Span("s__cate", 3, 6))
LAYOUT = SequenceLayout("s", CHILDREN, ("item", None, "cate"))
LENGTHS = [3, 0, 5, 1]


def made(**keys):
    torch.manual_seed(0)
    encoder = build(Config(**keys), LAYOUT)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return encoder.eval()


def inputs():
    torch.manual_seed(1)
    counts = torch.tensor(LENGTHS)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return Seq(torch.randn(9, 9), torch.repeat_interleave(torch.arange(4), counts), offsets), torch.randn(4, 7)


def number(net, hidden):
    """The layers after the first one's product, for one step."""
    hidden = hidden + net.first.bias
    for layer in net.rest:
        hidden = hidden.relu() if isinstance(layer, torch.nn.ReLU) else layer.weight @ hidden + layer.bias
    return (net.last.weight[0] @ hidden + net.last.bias).item()


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "with-user-and-item"])
@pytest.mark.parametrize(
    "keys", [{"trigger": [5], "similarity": [6]}, {"trigger": [5, 4], "similarity": [6, 3]}], ids=str
)
def test_paths_equal_a_loop_over_the_steps(keys, shared):
    encoder, (steps, query) = made(**keys), inputs()
    user, item = (torch.randn(4, 5), torch.randn(4, 6)) if shared else (None, None)
    for row in range(4):
        total = 0.0
        for place in range(int(steps.offsets[row]), int(steps.offsets[row + 1])):
            step, q = steps.values[place], query[row]
            k = torch.cat([step[:4], step[6:]])
            t = encoder.trigger.first.weight @ step + (user[row] if shared else 0.0)
            s = encoder.similarity.first.weight @ torch.cat([k, k * q]) + encoder.candidate.weight @ q
            s = s + (item[row] if shared else 0.0)
            total += math.log(1 + math.exp(number(encoder.trigger, t)) * math.exp(number(encoder.similarity, s)))
        assert encoder.paths(steps, query, user, item)[row, 0].item() == pytest.approx(total, rel=1e-4)


def test_many_paths_start_with_little():
    encoder, (steps, query) = build(Config(), LAYOUT), inputs()
    assert encoder(steps, 0.01 * query).max() < 5 * 0.1


def test_a_number_takes_no_product_with_the_candidate():
    with pytest.raises(ConfigError, match="gives no step, so it takes no 'product'"):
        made(product=True)
