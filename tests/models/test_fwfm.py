from itertools import combinations

import pytest
import torch

from easyrec.errors import ConfigError
from easyrec.models import build


def pairs(fields, weights):
    dots = [(fields[:, i] * fields[:, j]).sum(1) for i, j in combinations(range(fields.shape[1]), 2)]
    return sum(r * dot for r, dot in zip(weights.flatten(), dots, strict=True))


def linear_part(kind, model, x):
    """Of each row, by loops over fields."""
    fields, dense = x.tensors["emb:deep"].view(5, -1, 4), x.tensors["dense:deep"]
    if kind == "weight":
        return x.tensors["first:deep"].sum(1) + dense @ model.dense_weights["deep"].weight[0]
    if kind == "field":
        vectors, numbers = model.head.vector.weight[0].split([4 * fields.shape[1], 3])
        parts = [fields[:, i] @ vectors[4 * i : 4 * i + 4] for i in range(fields.shape[1])]
        return sum(parts) + dense @ numbers
    vectors = x.tensors["emb:linear"].view(5, -1, 4)
    parts = [(fields[:, i] * vectors[:, i]).sum(1) for i in range(fields.shape[1])]
    return sum(parts) + dense @ model.head.vector.weight[0]


@pytest.mark.parametrize("kind", ["weight", "feature", "field"])
def test_logit_is_the_linear_part_plus_weighted_pairs(case, task, kind):
    made = case("fwfm", linear=kind, groups={"deep": ["user", "item", "cate", "price", "size"]})
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    fields = x.tensors["emb:deep"].view(5, -1, 4)
    expected = linear_part(kind, model, x) + pairs(fields, model.pairs.weight) + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_vectors_per_id_are_tables_of_their_own(case):
    tables = {t.name: (t.rows, t.dim) for t in case("fwfm", linear="feature", groups={"deep": ["user"]}).plan.tables}
    assert tables == {"user": (20, 4), "user:linear": (20, 4)}


def test_without_dense_inputs(case, task):
    made = case("fwfm", linear="feature", groups={"deep": ["user", "item"]})
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    assert model(x)["logit"].shape == (5,)


def test_other_features_in_the_linear_part_are_refused(case, task):
    made = case("fwfm", linear="feature", groups={"deep": ["user", "item", "cate"], "linear": ["user"]})
    with pytest.raises(ConfigError, match="leave the group 'linear' out"):
        build(made.config, made.plan, [task])


def test_one_field_has_no_pair(case, task):
    made = case("fwfm", groups={"deep": ["user", "price"]})
    with pytest.raises(ConfigError, match="'user' is the only one"):
        build(made.config, made.plan, [task])
