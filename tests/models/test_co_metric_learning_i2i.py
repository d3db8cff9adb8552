import pytest
import torch

from easyrec.batch import Embedded
from easyrec.config import TaskConfig
from easyrec.errors import ConfigError
from easyrec.models import build

TASKS = [TaskConfig(name="click", label="click")]
SAME = ["item", "cate", "price"]


def made(case, **keys):
    torch.manual_seed(1)
    found = case("co_metric_learning_i2i", hidden=[6], output_dim=3, **{"groups": {"user": SAME, "item": SAME}, **keys})
    return found, build(found.config, found.plan, TASKS).eval()


def test_both_items_go_through_one_tower(case):
    found, model = made(case, temperature=0.5)
    x = found.inputs(5)
    (layer, _), out = model.tower
    vectors = []
    for side in ("user", "item"):
        given = torch.cat([x.tensors[f"emb:{side}"], x.tensors[f"dense:{side}"]], 1)
        v = (given @ layer.weight.T + layer.bias).relu() @ out.weight.T + out.bias
        vectors.append(v / v.norm(dim=1, keepdim=True))
    torch.testing.assert_close(model(x)["logit"], (vectors[0] * vectors[1]).sum(1) / 0.5 + model.head.bias)


def test_the_loss_is_one_of_metric_learning_unless_another_is_named(case):
    assert made(case)[0].config.loss.type == "multi_similarity"
    assert made(case, loss={"type": "circle", "gamma": 80})[0].config.loss.gamma == 80


@pytest.mark.parametrize(
    ("user", "told"),
    [
        (["item", "cate"], "'user' has item 4, cate 4; and 'item' item 4, cate 4, price 1"),
        (["item", "cate", "size"], "size 2"),
    ],
    ids=["fewer", "wider"],
)
def test_sides_that_one_tower_cannot_read_are_refused(case, user, told):
    found = case("co_metric_learning_i2i", groups={"user": user, "item": SAME})
    (problem,) = found.config.misfits(found.layouts, TASKS)
    assert told in problem.message
    assert problem.where == "model.groups.user"


def test_an_item_at_hand_that_looks_at_the_other_is_refused(case):
    side = {"features": SAME, "sequences": [{"sequence": "clicks", "encoder": {"type": "din"}}]}
    with pytest.raises(ConfigError, match="computes a user without an item"):
        made(case, groups={"user": side, "item": side})


def test_the_newest_step_of_a_sequence_is_an_item_at_hand(case):
    hand = {"sequences": [{"sequence": "buys", "newest": 1}]}
    found, model = made(case, groups={"user": hand, "item": ["item"]})
    assert list(found.config.misfits(found.layouts, TASKS)) == []
    x = found.inputs(5)
    rows = [int(end) - 1 for end in x.tensors["offsets:user/buys"][1:]]
    cut = {
        "seq:user/buys": x.tensors["seq:user/buys"][rows],
        "rows:user/buys": torch.arange(5),
        "offsets:user/buys": torch.arange(6),
    }
    (layer, _), out = model.tower
    given = [cut["seq:user/buys"], x.tensors["emb:item"]]
    v, w = ((g @ layer.weight.T + layer.bias).relu() @ out.weight.T + out.bias for g in given)
    expected = (v * w).sum(1) / (v.norm(dim=1) * w.norm(dim=1))
    torch.testing.assert_close(model(Embedded({**x.tensors, **cut}, x.layouts))["logit"], expected + model.head.bias)
