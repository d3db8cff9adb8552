from itertools import combinations

import pytest
import torch

from easyrec.errors import ConfigError
from easyrec.models import build


def products(fields, kind):
    """(B, n), by loops over fields and columns."""
    inner = [(fields[:, i] * fields[:, j]).sum(1) for i, j in combinations(range(fields.shape[1]), 2)]
    total = sum(fields[:, i] for i in range(fields.shape[1]))
    outer = [total[:, d] * total[:, e] for d in range(fields.shape[2]) for e in range(d, fields.shape[2])]
    return torch.stack({"inner": inner, "outer": outer, "both": [*inner, *outer]}[kind], 1)


@pytest.mark.parametrize("kind", ["inner", "outer", "both"])
def test_logit_is_an_mlp_of_fields_and_products(case, task, kind):
    made = case("pnn", products=kind, hidden=[3])
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    fields = x.tensors["emb:deep"].view(5, -1, 4)
    flat = torch.cat([fields.flatten(1), x.tensors["dense:deep"], products(fields, kind)], 1)
    hidden = (flat @ model.deep[0].weight.T + model.deep[0].bias).clamp_min(0)
    expected = (hidden @ model.head.vector.weight.T).squeeze(1) + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_one_field_has_an_outer_product_but_no_pair(case, task):
    made = case("pnn", products="outer", features=["item"], sequences=[])
    assert build(made.config, made.plan, [task])(made.inputs(5))["logit"].shape == (5,)
    made = case("pnn", features=["item"], sequences=[])
    with pytest.raises(ConfigError, match="'item' is the only one"):
        build(made.config, made.plan, [task])
