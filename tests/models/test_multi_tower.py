import pytest
import torch
from pydantic import ValidationError

from easyrec.models import build
from easyrec.models.multi_tower import Config

GROUPS = {
    "who": ["user", "price"],
    "what": {"features": ["item"], "sequences": [{"sequence": "buys", "encoder": "din"}]},
}


def relu(layer, x):
    return (x @ layer.weight.T + layer.bias).clamp_min(0)


def test_a_tower_per_group_and_an_mlp_over_them(case, task):
    torch.manual_seed(0)
    made = case("multi_tower", groups=GROUPS, tower=[5], towers={"what": [3]}, hidden=[6])
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    who = torch.cat([x.tensors["emb:who"], x.tensors["dense:who"]], 1)
    (clicks,) = model.layouts["what"].sequences
    what = torch.cat([x.tensors["emb:what"], model.interest(x, clicks, "what")], 1)
    both = torch.cat([relu(model.towers["who"][0], who), relu(model.towers["what"][0], what)], 1)
    assert both.shape == (5, 8)
    expected = relu(model.deep[0], both) @ model.head.vector.weight[0] + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_without_groups_there_is_one_tower(case, task):
    made = case("multi_tower", groups=None, tower=[5])
    assert list(build(made.config, made.plan, [task]).towers) == ["deep"]


def test_towers_of_no_group_are_named():
    with pytest.raises(ValidationError, match="'whom' is no group\ngroups: who, what"):
        Config(groups=GROUPS, towers={"whom": [3]})
