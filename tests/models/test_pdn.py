import math

import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.errors import ConfigError
from easyrec.models import build

TASKS = [TaskConfig(name="click", label="click")]
ITEM = {"features": ["item", "cate", "price"], "sequences": [{"sequence": "clicks"}]}


def made(case, **groups):
    torch.manual_seed(1)
    found = case("pdn", hidden=[6], output_dim=3, groups={"user": ["user", "scene"], "item": ITEM, **groups})
    return found, build(found.config, found.plan, TASKS)


def side(tower, x):
    (layer, _), out = tower
    return (x @ layer.weight.T + layer.bias).relu() @ out.weight.T + out.bias


def softplus(z):
    return math.log1p(math.exp(z))


def strengths(model, x, *, biased):
    """y of each row, path by path."""
    user, item = x.tensors["emb:user"], torch.cat([x.tensors["emb:item"], x.tensors["dense:item"]], 1)
    direct = (side(model.user_side, user) * side(model.item_side, item)).sum(1)
    (paths,) = model.encoders.values()
    steps, found = x.sequence("clicks", "item"), []
    query = torch.cat([x.feature("item", "item"), x.feature("item", "cate")], 1)
    for row in range(5):
        total = softplus(direct[row].item())
        for place in range(int(steps.offsets[row]), int(steps.offsets[row + 1])):
            step, q = steps.values[place], query[row]
            k = step[:8]  # item and cate; the hour is compared with nothing
            t = paths.trigger.first(step) + model.to_trigger["clicks"].weight @ user[row]
            s = paths.similarity.first(torch.cat([k, k * q])) + paths.candidate.weight @ q
            s = s + model.to_similarity["clicks"].weight @ item[row]
            total += softplus((paths.trigger.last(t.relu()) + paths.similarity.last(s.relu())).item())
        if biased:
            hidden = (model.bias[0](x.tensors["emb:bias"][row])).relu()
            total += softplus(model.of_bias(hidden).item())
        found.append(total)
    return found


@pytest.mark.parametrize("training", [True, False])
def test_the_probability_is_that_of_any_path(case, training):
    found, model = made(case, bias=["scene"])
    x = found.inputs(5)
    expected = [1 - math.exp(-y) for y in strengths(model, x, biased=training)]
    found = torch.sigmoid(model.train(training)(x)["logit"])
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_a_user_who_did_nothing_is_told_by_the_direct_path(case):
    found, model = made(case)
    x = found.inputs(3, lengths=[0, 0, 0])
    item = torch.cat([x.tensors["emb:item"], x.tensors["dense:item"]], 1)
    direct = (side(model.user_side, x.tensors["emb:user"]) * side(model.item_side, item)).sum(1)
    torch.testing.assert_close(model.eval()(x)["logit"], torch.log(torch.expm1(torch.log1p(torch.exp(direct)))))


def test_no_strength_at_all_is_still_a_number(case):
    found, model = made(case)
    x = found.inputs(3, lengths=[0, 0, 0])
    with torch.no_grad():
        model.user_side[1].bias.fill_(1e4)
        model.item_side[1].bias.fill_(-1e4)
    assert model.eval()(x)["logit"].isfinite().all()


def test_another_encoder_is_refused_where_the_paths_are(case):
    item = {**ITEM, "sequences": [{"sequence": "clicks", "encoder": {"type": "din"}}]}
    with pytest.raises(
        ConfigError, match="'pdn' sums the paths over 'clicks', so it takes no encoder but its own"
    ) as error:
        made(case, item=item)
    assert error.value.problems[0].where == "model.groups.item.sequences.0"


def test_a_sequence_is_needed(case):
    with pytest.raises(ValueError, match="'pdn' needs a sequence in the group 'item'"):
        made(case, item=["item"])
