import pytest
import torch

from easyrec.batch import Seq
from easyrec.errors import ConfigError
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import build
from easyrec.modules.sequence._encoder import newest
from easyrec.modules.sequence.transact import Config

CHILDREN = (Span("s__item", 4, 0), Span("s__hour", 2, 4), Span("s__cate", 3, 6))
LAYOUT = SequenceLayout("s", CHILDREN, ("item", None, "cate"))
LENGTHS = [3, 0, 5, 1]
OFFSETS = [0, 3, 3, 8, 9]


def inputs():
    torch.manual_seed(1)
    rows = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
    return Seq(torch.randn(9, 9), rows, torch.tensor(OFFSETS)), torch.randn(4, 7)


def looped(encoder, steps, query):
    """Row by row; the transformer itself has a test of its own."""
    rows, width = [], 16
    for row in range(4):
        own = steps.values[OFFSETS[row] : OFFSETS[row + 1]][-encoder.config.steps :]
        length = len(own)
        outputs = [torch.zeros(width) for _ in range(encoder.config.outputs)]
        if not length:
            rows.append(torch.zeros(width * (1 + encoder.config.outputs)))
            continue
        x = torch.stack([torch.cat([own[i], query[row]]) + encoder.positions[length - 1 - i] for i in range(length)])
        x = encoder.transformer(x, torch.tensor([0, length]))
        for back in range(min(encoder.config.outputs, length)):
            outputs[back] = x[length - 1 - back]
        rows.append(torch.cat([x.max(0).values, *outputs]))
    return torch.stack(rows)


@pytest.mark.parametrize(
    "keys", [{}, {"steps": 3, "outputs": 2}, {"steps": 2, "outputs": 0, "layers": 1}], ids=["default", "cut", "maximum"]
)
def test_equals_a_loop_over_rows_with_gradients(keys):
    torch.manual_seed(0)
    encoder, grads = build(Config(**keys), LAYOUT), []
    torch.nn.init.normal_(encoder.positions)
    for form in (encoder, lambda steps, query: looped(encoder, steps, query)):
        steps, query = inputs()
        leaves = [steps.values.requires_grad_(), query.requires_grad_(), *encoder.parameters()]
        vector = form(steps, query)
        assert vector.shape == (4, encoder.dim)
        grads.append((vector, *torch.autograd.grad((vector * torch.linspace(-1, 1, encoder.dim)).sum(), leaves)))
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_newest_steps_stay_in_their_order():
    kept = newest(inputs()[0], 2)
    assert torch.equal(kept.values, inputs()[0].values[[1, 2, 6, 7, 8]])
    assert kept.rows.tolist() == [0, 0, 2, 2, 3]
    assert kept.offsets.tolist() == [0, 2, 2, 4, 5]


def test_takes_no_product():
    with pytest.raises(ConfigError, match="'transact' gives no step, so it takes no 'product'"):
        build(Config(product=True), LAYOUT)
