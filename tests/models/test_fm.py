from itertools import combinations

import pytest
import torch

from easyrec.errors import ConfigError
from easyrec.models import build


def test_logit_is_linear_plus_the_sum_over_pairs(case, task):
    made = case("fm")
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    fields = x.tensors["emb:deep"].view(5, -1, 4)  # 3 ids, 3 children of the pooled clicks
    pairs = sum((fields[:, i] * fields[:, j]).sum(1) for i, j in combinations(range(6), 2))
    linear = x.tensors["first:deep"].sum(1) + x.tensors["dense:deep"] @ model.dense_weights["deep"].weight[0]
    torch.testing.assert_close(model(x)["logit"], linear + pairs, rtol=1e-4, atol=1e-5)


def test_without_ids_there_is_nothing_to_cross(case, task):
    made = case("fm", features=["price"], sequences=[])
    with pytest.raises(ConfigError, match="needs fields in 'deep'"):
        build(made.config, made.plan, [task])
