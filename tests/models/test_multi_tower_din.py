import pytest
import torch
from pydantic import ValidationError

from easyrec.models import build
from easyrec.models.multi_tower_din import Config

GROUPS = {
    "user": ["user", "price"],
    "item": {"features": ["item", "cate"], "sequences": [{"sequence": "clicks"}, {"sequence": "buys"}]},
}


def mlp(layers, x):
    for layer in layers:
        x = x @ layer.weight.T + layer.bias if hasattr(layer, "weight") else torch.relu(x)
    return x


def test_equals_its_towers_and_interests_put_together(case, task):
    made = case(
        "multi_tower_din", groups=GROUPS, tower={"hidden": [6]}, towers={"item": {"hidden": [5, 3]}}, hidden=[4]
    )
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    item = made.layouts["item"]
    user_tower = mlp(model.towers["user"], torch.cat([x.tensors["emb:user"], x.tensors["dense:user"]], 1))
    item_tower = mlp(model.towers["item"], x.tensors["emb:item"])
    assert (user_tower.shape[1], item_tower.shape[1]) == (6, 3)
    query = torch.cat([x.feature("item", "item"), x.feature("item", "cate")], 1)
    clicks = model.encoders["item__clicks"](x.sequence("clicks", "item"), query)
    buys = model.encoders["item__buys"](x.sequence("buys", "item"), x.feature("item", "item"))
    assert [s.name for s in item.sequences] == ["clicks", "buys"]
    hidden = mlp(model.deep, torch.cat([user_tower, item_tower, clicks, buys], 1))
    logit = (hidden @ model.head.vector.weight.T + model.head.bias).squeeze(1)
    torch.testing.assert_close(model(x)["logit"], logit)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"groups": {"user": ["user"]}}, "needs a sequence in one of its groups"),
        ({}, "'multi_tower_din' needs a sequence in the group 'deep'"),
        ({"groups": GROUPS, "towers": {"itme": {}}}, "'itme' is no group\ngroups: user, item"),
    ],
    ids=["no-sequence", "no-groups", "unknown-tower"],
)
def test_what_does_not_fit_is_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        Config(**keys)
