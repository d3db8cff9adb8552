"""What every sequence encoder promises, members of tomorrow included."""

import pytest
import torch

from easyrec.batch import Seq
from easyrec.errors import ConfigError
from easyrec.layout import SequenceLayout, Span
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
