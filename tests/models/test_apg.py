import pytest
import torch
from pydantic import ValidationError

from easyrec.models import build
from easyrec.models.apg import Config

DEEP = ["user", "item", "price"]


@pytest.mark.parametrize("cross", [0, 2], ids=["alone", "beside-crosses"])
@pytest.mark.parametrize(
    "groups", [{"deep": DEEP}, {"deep": DEEP, "condition": ["user", "price"]}], ids=["own", "group"]
)
def test_the_mlp_is_made_for_each_row(case, task, cross, groups):
    torch.manual_seed(0)
    made = case("apg", groups=groups, cross_layers=cross, rank=2, hidden=[5])
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    condition = flat
    if "condition" in groups:
        condition = torch.cat([x.tensors["emb:condition"], x.tensors["dense:condition"]], 1)
    hidden = model.deep.layers[0](flat, condition).clamp_min(0)
    read = torch.cat([model.cross(flat), hidden], 1) if cross else hidden
    expected = read @ model.head.vector.weight[0] + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_wide_is_at_least_rank():
    with pytest.raises(ValidationError, match="'wide' must be at least 'rank', but 8 < 16"):
        Config(wide=8)
