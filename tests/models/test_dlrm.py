from itertools import combinations

import pytest
import torch

from easyrec.errors import ConfigError
from easyrec.models import build

DENSE = ["user", "item", "cate", "price", "size"]


def layers(mlp, x):
    for layer in mlp:
        x = (x @ layer.weight.T + layer.bias) if hasattr(layer, "weight") else x.clamp_min(0)
    return x


@pytest.mark.parametrize("keys", [{}, {"with_fields": True}, {"interaction": "cat"}], ids=["dot", "both", "cat"])
@pytest.mark.parametrize("features", [DENSE, DENSE[:3]], ids=["dense", "ids-alone"])
def test_the_top_mlp_reads_products_of_fields_and_of_the_dense_one(case, task, keys, features):
    torch.manual_seed(0)
    made = case("dlrm", groups={"deep": features}, bottom=[5], hidden=[6], **keys)
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    fields = list(x.tensors["emb:deep"].view(5, 3, 4).unbind(1))
    bottom = [layers(model.bottom.mlp, x.tensors["dense:deep"])] if len(features) > 3 else []
    assert all(v.shape == (5, 4) for v in bottom)
    products = torch.stack([(a * b).sum(1) for a, b in combinations([*fields, *bottom], 2)], 1)
    parts = {"dot": [*bottom, products], "both": [*fields, *bottom, products], "cat": [*fields, *bottom]}
    chosen = parts["both" if keys.get("with_fields") else keys.get("interaction", "dot")]
    expected = layers(model.deep, torch.cat(chosen, 1)) @ model.head.vector.weight[0] + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_one_field_alone_has_no_products(case, task):
    made = case("dlrm", groups={"deep": ["user"]})
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    assert model.products is None
    assert model.deep[0].in_features == 4
    assert model(x)["logit"].shape == (5,)


def test_dense_inputs_alone_are_no_fields(case, task):
    made = case("dlrm", groups={"deep": ["price"]})
    with pytest.raises(ConfigError, match="needs fields in 'deep'"):
        build(made.config, made.plan, [task])
