"""What every sequence encoder promises, members of tomorrow included."""

import pytest
import torch
from torch import nn

from easyrec.batch import Embedded, Seq
from easyrec.errors import ConfigError
from easyrec.export.program import export_program, to_calls
from easyrec.layout import GroupLayout, SequenceLayout, Span
from easyrec.modules.sequence import build
from feature_generator.config import member, members

ENCODERS = members("easyrec.modules.sequence")
CHILDREN = (Span("s__item", 4, 0), Span("s__hour", 2, 4), Span("s__cate", 3, 6))
LAYOUT = SequenceLayout("s", CHILDREN, ("item", None, "cate"))


def steps(lengths, seed=0, width=9):
    drawn = torch.Generator().manual_seed(seed)
    counts = torch.tensor(lengths, dtype=torch.int64)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    values = torch.randn(int(offsets[-1]), width, generator=drawn)
    return Seq(values, torch.repeat_interleave(torch.arange(len(lengths)), counts), offsets)


def made(name, layout=LAYOUT, **keys):
    torch.manual_seed(0)
    return build(member("easyrec.modules.sequence", name).Config(**keys), layout).eval()


@pytest.mark.family("easyrec.modules.sequence")
@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("lengths", [[], [0], [1], [3, 0, 2, 0], [0, 0]], ids=str)
def test_any_number_of_rows_and_steps(name, lengths):
    encoder = made(name)
    for training in (True, False):
        encoded = encoder.train(training)(steps(lengths), torch.randn(len(lengths), 7))
        assert encoded.shape == (len(lengths), encoder.dim)
        assert encoded.dtype == torch.float32
        assert encoded.isfinite().all()


@pytest.mark.family("easyrec.modules.sequence")
@pytest.mark.parametrize("name", ENCODERS)
def test_a_row_without_steps_is_zero(name):
    assert not made(name)(steps([2, 0, 3]), torch.randn(3, 7))[1].any()


@pytest.mark.family("easyrec.modules.sequence")
@pytest.mark.parametrize("name", ENCODERS)
def test_rows_do_not_see_each_other(name):
    encoder, whole, query = made(name), steps([3, 0, 2]), torch.randn(3, 7)
    encoded = encoder(whole, query)
    for row, (start, end) in enumerate([(0, 3), (3, 3), (3, 5)]):
        zeros = torch.zeros(end - start, dtype=torch.int64)
        alone = Seq(whole.values[start:end], zeros, torch.tensor([0, end - start]))
        torch.testing.assert_close(encoder(alone, query[row : row + 1]), encoded[row : row + 1], rtol=1e-4, atol=1e-6)


@pytest.mark.family("easyrec.modules.sequence")
@pytest.mark.parametrize("name", ENCODERS)
def test_product_needs_a_candidate(name):
    with pytest.raises(ConfigError, match="compares the steps of 's' with a candidate"):
        made(name, SequenceLayout("s", CHILDREN, (None, None, None)), product=True)


class Alone(nn.Module):
    """An encoder as a model."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, x):
        return {"vector": self.encoder(x.sequence("s"), x.flat("deep"))}


@pytest.mark.family("easyrec.modules.sequence")
@pytest.mark.parametrize("name", ENCODERS)
def test_exported_equals_eager(name):
    encoder = made(name)
    for parameter in encoder.parameters():  # wide recurrent layers with more are chaotic: rounding would grow
        nn.init.normal_(parameter, std=min(0.5, 1.5 / parameter.shape[-1] ** 0.5))
    layouts = {"deep": GroupLayout("deep", (Span("item", 4, 0), Span("cate", 3, 4)), (), (LAYOUT,))}
    model = Alone(encoder).eval()
    program = to_calls(export_program(model, layouts))
    for lengths in ([], [0], [1], [3, 0, 2, 0], [0, 0], [*range(80), 3, 3]):
        given, query = steps(lengths), torch.randn(len(lengths), 7)
        inputs = dict(zip(("seq:deep/s", "rows:deep/s", "offsets:deep/s"), given, strict=True))
        found = program({"emb:deep": query, **inputs})["vector"]
        with torch.no_grad():
            expected = model(Embedded({"emb:deep": query, **inputs}, layouts))["vector"]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.family("easyrec.modules.sequence")
@pytest.mark.parametrize("name", ENCODERS)
def test_every_parameter_gets_a_gradient_and_its_own_loss_comes_in_training_alone(name):
    encoder = made(name).train()
    loss = (encoder(steps([3, 0, 6, 2]), torch.randn(4, 7)) ** 2).sum()
    if encoder.auxiliary is not None:
        assert encoder.auxiliary.shape == ()
        loss = loss + encoder.auxiliary
    if loss.requires_grad:
        loss.backward()
    assert [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()] == []
    encoder.eval()(steps([3, 0, 6, 2]), torch.randn(4, 7))
    assert encoder.auxiliary is None


@pytest.mark.family("easyrec.modules.sequence")
@pytest.mark.parametrize("name", ENCODERS)
def test_another_device_gives_the_same(name, other_device):
    query, told = torch.randn(5, 7, generator=torch.Generator().manual_seed(1)), []
    for device in (torch.device("cpu"), other_device):
        moved = Seq(*(part.to(device) for part in steps([7, 0, 3, 1, 5])))
        told.append(made(name).to(device)(moved, query.to(device)).cpu())
    torch.testing.assert_close(told[1], told[0], rtol=1e-4, atol=1e-5)
