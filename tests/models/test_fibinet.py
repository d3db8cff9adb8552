import pytest
import torch
from pydantic import ValidationError

from easyrec.errors import ConfigError
from easyrec.export.program import export_program, to_calls
from easyrec.models import build
from easyrec.models.fibinet import Config

PLUS = {"version": "plus", "rank": 5, "squeeze_groups": 2}


def mlp(model, x):
    for layer in (model.deep[0], model.deep[2]):
        x = (x @ layer.weight.T + layer.bias).clamp_min(0)
    return x @ model.head.vector.weight[0] + model.head.bias


@pytest.mark.parametrize("kind", ["all", "each", "interaction"])
def test_the_original_crosses_the_fields_and_the_weighted_fields(case, task, kind):
    torch.manual_seed(0)
    made = case("fibinet", bilinear=kind, hidden=[7, 3])
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    fields, dense = x.tensors["emb:deep"].view(5, 6, 4), x.tensors["dense:deep"]
    first, second = model.bilinear(fields), model.squeezed(model.squeeze(fields))
    assert first.shape == second.shape == (5, 15, 4)
    linear = x.tensors["first:deep"].sum(1) + dense @ model.dense_weights["deep"].weight[0]
    expected = mlp(model, torch.cat([first.flatten(1), second.flatten(1), dense], 1)) + linear
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["all", "each", "interaction"])
def test_plus_reads_weighted_fields_and_a_few_numbers_of_the_pairs(case, task, kind):
    torch.manual_seed(0)
    made = case("fibinet", bilinear=kind, hidden=[7, 3], **PLUS)
    model, x = build(made.config, made.plan, [task]), made.inputs(64)
    fields, dense = x.tensors["emb:deep"], x.tensors["dense:deep"]
    normal = ((fields - fields.mean(0)) / torch.sqrt(fields.var(0, unbiased=False) + 1e-5)).view(64, 6, 4)
    dots = model.bilinear(normal)
    assert dots.shape == (64, 15)
    few = dots @ model.rank.weight.T + model.rank.bias
    expected = mlp(model, torch.cat([model.squeeze(normal).flatten(1), few, dense], 1))
    torch.testing.assert_close(model.train()(x)["logit"], expected, rtol=1e-4, atol=1e-4)
    assert not made.layouts["deep"].first_order


def test_plus_is_exported_as_it_is(case, task):
    made = case("fibinet", **PLUS)
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    program = to_calls(export_program(model, made.layouts))
    exported = program({key: tensor.detach() for key, tensor in x.tensors.items()})
    torch.testing.assert_close(exported["logit"], model(x)["logit"].detach(), rtol=1e-5, atol=1e-5)


def test_groups_must_divide_the_dim(case, task):
    made = case("fibinet", version="plus", squeeze_groups=3)
    with pytest.raises(ConfigError, match="3 does not divide 4"):
        build(made.config, made.plan, [task])


def test_a_single_field_has_no_pairs(case, task):
    made = case("fibinet", groups={"deep": ["user", "price"]})
    with pytest.raises(ConfigError, match="'user' is the only one"):
        build(made.config, made.plan, [task])


def test_keys_of_plus_are_refused_in_the_original():
    with pytest.raises(ValidationError, match="'rank' is a key of 'version: plus'"):
        Config(rank=3)
