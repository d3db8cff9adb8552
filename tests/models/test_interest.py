"""The models that are an MLP over features and encoded sequences."""

import pytest
import torch
from pydantic import ValidationError

from easyrec.export.program import export_program, to_calls
from easyrec.models import build
from easyrec.models._interest import InterestConfig
from feature_generator.config import member, members

MODELS = [
    name for name in members("easyrec.models") if issubclass(member("easyrec.models", name).Config, InterestConfig)
]


def dice(layer, x):
    mean, var = layer.norm.running_mean, layer.norm.running_var
    gate = torch.sigmoid((x - mean) / torch.sqrt(var + layer.norm.eps))
    return gate * x + (1 - gate) * layer.alpha * x


def test_there_are_these():
    assert {"din", "bst", "dien", "dmin", "dmr", "transact", "multi_window_din"} <= set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_is_an_mlp_over_features_and_what_its_encoder_makes_of_each_sequence(case, task, name):
    made = case(name, sequences=[{"sequence": "clicks"}, {"sequence": "buys"}], hidden=[5, 3])
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    assert {e.config.type for e in model.encoders.values()} == {name}
    query = torch.cat([x.feature("deep", "item"), x.feature("deep", "cate")], 1)
    clicks = model.encoders["deep__clicks"](x.sequence("clicks"), query)
    buys = model.encoders["deep__buys"](x.sequence("buys"), x.feature("deep", "item"))
    hidden = torch.cat([x.tensors["emb:deep"], clicks, buys, x.tensors["dense:deep"]], 1)
    first, activation, second, other = model.deep
    for layer, unit in ((first, activation), (second, other)):
        hidden = dice(unit, hidden @ layer.weight.T + layer.bias)
    logit = (hidden @ model.head.vector.weight.T + model.head.bias).squeeze(1)
    torch.testing.assert_close(model(x)["logit"], logit)


@pytest.mark.parametrize("name", MODELS)
def test_needs_a_sequence(name):
    with pytest.raises(ValidationError, match=f"'{name}' needs a sequence"):
        member("easyrec.models", name).Config(groups={"deep": ["item"]})


@pytest.mark.slow
def test_sequences_of_different_kinds_and_encoders_in_one_group(case, task):
    made = case(
        "dien",
        sequences=[
            {"sequence": "clicks", "encoder": {"type": "transact", "outputs": 2, "steps": 3}},
            {"sequence": "buys"},
        ],
    )
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    assert [e.config.type for e in model.encoders.values()] == ["transact", "dien"]
    assert list(model.auxiliary(model(x), {}, None)) == ["deep__buys"]
    program = to_calls(export_program(model.eval(), made.layouts))
    found = program({key: tensor.detach() for key, tensor in x.tensors.items()})["logit"]
    torch.testing.assert_close(found, model(x)["logit"].detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own, where it leaves a graph
@pytest.mark.parametrize("name", ["bst", "dien"])
def test_compiled_equals_eager_whatever_the_lengths(case, task, name):
    made = case(name)
    model = build(made.config, made.plan, [task])
    compiled = torch.compile(model, backend="eager", dynamic=True)
    for rows in (3, 5, 8):
        x = made.inputs(rows, seed=rows)
        torch.testing.assert_close(compiled(x)["logit"], model(x)["logit"], rtol=1e-4, atol=1e-5)
