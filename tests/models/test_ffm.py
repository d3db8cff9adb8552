from itertools import combinations

import pytest
import torch

from easyrec.errors import ConfigError
from easyrec.models import build


def embedding(x, field, other, fields, dim=4):
    """(B, D), the embedding of one field for another one, by its columns in the flat tensor."""
    place = other if other < field else other - 1
    start = field * (fields - 1) * dim + place * dim
    return x.tensors["emb:deep"][:, start : start + dim]


def test_logit_is_linear_plus_field_aware_pairs(case, task):
    made = case("ffm")
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    expected = x.tensors["first:deep"].sum(1) + x.tensors["dense:deep"] @ model.dense_weights["deep"].weight[0]
    for i, j in combinations(range(6), 2):  # three ids, and three children of a sequence
        expected = expected + (embedding(x, i, j, 6) * embedding(x, j, i, 6)).sum(1)
    torch.testing.assert_close(model(x)["logit"], expected + model.head.bias, rtol=1e-4, atol=1e-5)


def test_an_encoded_sequence_is_a_field_per_child(case, task):
    made = case("ffm", sequences=[{"sequence": "buys", "encoder": {"type": "din", "hidden": [3]}}])
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    assert model.paired_fields(x).shape == (5, 4, 3, 4)
    assert model(x)["logit"].shape == (5,)


def test_two_fields_make_it_a_factorization_machine(case, task):
    made, twin = (case(type, groups={"deep": ["user", "item", "price"]}) for type in ("ffm", "fm"))
    model, machine = (build(m.config, m.plan, [task]) for m in (made, twin))
    model.load_state_dict(machine.state_dict())
    x = made.inputs(5)
    torch.testing.assert_close(model(x)["logit"], machine(x)["logit"], rtol=1e-4, atol=1e-5)


def test_one_field_has_no_pair(case, task):
    made = case("ffm", features=["item"], sequences=[])
    with pytest.raises(ConfigError, match="'item' is the only one"):
        build(made.config, made.plan, [task])
