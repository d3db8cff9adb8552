from itertools import combinations

import pytest
import torch

from easyrec.errors import ConfigError
from easyrec.models import build


def test_logit_is_an_mlp_of_copies_and_field_aware_products(case, task):
    made = case("onn", groups={"deep": ["user", "item", "cate", "price", "size"]}, hidden=[3])
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    paired = x.tensors["emb:pairs"].view(5, 3, 2, 4)
    products = [(paired[:, i, j - 1] * paired[:, j, i]).sum(1) for i, j in combinations(range(3), 2)]
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"], torch.stack(products, 1)], 1)
    hidden = (flat @ model.deep[0].weight.T + model.deep[0].bias).clamp_min(0)
    expected = (hidden @ model.head.vector.weight.T).squeeze(1) + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_an_id_has_a_table_of_copies_and_one_of_pairs(case):
    tables = {t.name: t.dim for t in case("onn", groups={"deep": ["user", "item", "cate"]}).plan.tables}
    assert tables == {"user": 4, "item": 4, "cate": 4, "user:pairs": 8, "item:pairs": 8, "cate:pairs": 8}


def test_pairs_may_be_of_fewer_features(case, task):
    made = case("onn", groups={"deep": ["user", "item", "cate"], "pairs": ["user", "item"]}, hidden=[3])
    model = build(made.config, made.plan, [task])
    assert model.deep[0].in_features == 3 * 4 + 1
    assert model(made.inputs(5))["logit"].shape == (5,)


def test_one_field_has_no_pair(case, task):
    made = case("onn", groups={"deep": ["user", "item"], "pairs": ["item"]})
    with pytest.raises(ConfigError, match=r"crosses the fields of 'pairs', but 'item' is the only one") as caught:
        build(made.config, made.plan, [task])
    assert caught.value.problems[0].where == "model.groups.pairs"
