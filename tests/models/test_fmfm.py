from itertools import combinations

import pytest
import torch

from easyrec.errors import ConfigError
from easyrec.models import build


@pytest.mark.parametrize("kind", ["matrix", "vector"])
def test_logit_is_linear_plus_a_bilinear_form_per_pair(case, task, kind):
    made = case("fmfm", interaction=kind)
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    fields = x.tensors["emb:deep"].view(5, -1, 4)
    expected = x.tensors["first:deep"].sum(1) + x.tensors["dense:deep"] @ model.dense_weights["deep"].weight[0]
    for weight, (i, j) in zip(model.pairs.weight, combinations(range(6), 2), strict=True):
        matrix = weight if kind == "matrix" else torch.diag(weight)
        expected = expected + ((fields[:, i] @ matrix) * fields[:, j]).sum(1)
    torch.testing.assert_close(model(x)["logit"], expected + model.head.bias, rtol=1e-4, atol=1e-5)


def test_identities_make_it_a_factorization_machine(case, task):
    made, twin = case("fmfm"), case("fm")
    model, machine, x = build(made.config, made.plan, [task]), build(twin.config, twin.plan, [task]), made.inputs(5)
    with torch.no_grad():
        model.pairs.weight.copy_(torch.eye(4).expand_as(model.pairs.weight))
        model.dense_weights["deep"].weight.copy_(machine.dense_weights["deep"].weight)
    torch.testing.assert_close(model(x)["logit"], machine(x)["logit"], rtol=1e-4, atol=1e-5)


def test_one_field_has_no_pair(case, task):
    made = case("fmfm", features=["item"], sequences=[])
    with pytest.raises(ConfigError, match="'item' is the only one"):
        build(made.config, made.plan, [task])
