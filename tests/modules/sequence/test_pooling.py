import pytest
import torch

from easyrec.batch import Seq
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import build
from easyrec.modules.sequence.pooling import Config

LAYOUT = SequenceLayout("s", (Span("s__item", 2, 0),), (None,))
STEPS = Seq(torch.tensor([[1.0, 10.0], [3.0, 30.0], [7.0, 70.0]]), torch.tensor([0, 0, 2]), torch.tensor([0, 2, 2, 3]))


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [("mean", [[2.0, 20.0], [0.0, 0.0], [7.0, 70.0]]), ("sum", [[4.0, 40.0], [0.0, 0.0], [7.0, 70.0]])],
)
def test_pools_each_row(pooling, expected):
    assert torch.equal(build(Config(pooling=pooling), LAYOUT)(STEPS, None), torch.tensor(expected))


def test_the_lookup_pools_unless_there_is_a_product():
    assert Config(pooling="sum").lookup_pooling == "sum"
    assert Config(product=True).lookup_pooling is None
