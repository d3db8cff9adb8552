"""What every numeric embedding promises, members of tomorrow included."""

import pytest
import torch

from easyrec.config.model import NormalInit, UniformInit
from easyrec.modules.numeric import build
from feature_generator.config import member, members

KINDS = members("easyrec.modules.numeric")
SIZES = [1, 3, 1, 2]
WIDE = NormalInit(std=0.5)


def made(name, sizes=SIZES, init=WIDE, **keys):
    torch.manual_seed(0)
    return build(member("easyrec.modules.numeric", name).Config(**keys), sizes, 5, init)


@pytest.mark.family("easyrec.modules.numeric")
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("rows", [0, 1, 4])
def test_any_number_of_rows(name, rows):
    assert made(name)(torch.randn(rows, 7)).shape == (rows, 4, 5)


@pytest.mark.family("easyrec.modules.numeric")
@pytest.mark.parametrize("name", KINDS)
def test_fields_and_rows_do_not_see_each_other(name):
    module, values = made(name), torch.randn(4, 7)
    before = module(values)
    changed = values.clone()
    changed[2, 1] += 1.0
    different = (module(changed) - before).abs().sum(dim=2) > 1e-6
    assert different.nonzero().tolist() == [[2, 1]]


@pytest.mark.family("easyrec.modules.numeric")
@pytest.mark.parametrize("name", KINDS)
def test_together_is_as_one_by_one(name):
    """Fields of one number each, for which no sums are taken."""
    module, values = made(name, [1, 1, 1]), torch.randn(4, 3)
    whole = module(values)
    for field in range(3):
        alone = made(name, [1])
        parameters = dict(module.named_parameters())
        for key, parameter in alone.named_parameters():
            parameter.data = parameters[key].data[field : field + 1]
        torch.testing.assert_close(alone(values[:, field : field + 1])[:, 0], whole[:, field])


@pytest.mark.family("easyrec.modules.numeric")
@pytest.mark.parametrize("name", KINDS)
def test_every_parameter_gets_a_gradient(name):
    module = made(name)
    (module(torch.randn(8, 7)) ** 2).sum().backward()
    assert [key for key, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.family("easyrec.modules.numeric")
@pytest.mark.parametrize("name", KINDS)
def test_it_is_exact_under_autocast(name):
    module, values = made(name), torch.randn(8, 7) * 100
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(module(values), module.embed(values.t()).transpose(0, 1)) is False  # embed alone would round
    exact = module(values)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(module(values), exact, rtol=0, atol=0)


@pytest.mark.family("easyrec.modules.numeric")
@pytest.mark.parametrize("name", KINDS)
def test_fields_start_as_small_as_rows_of_tables(name):
    fields = made(name, init=UniformInit(bound=1e-3))(torch.rand(100, 7))
    assert 1e-5 < fields.abs().mean() < 0.05
