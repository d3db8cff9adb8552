from itertools import combinations

import pytest
import torch
from pydantic import ValidationError

from easyrec.errors import ConfigError
from easyrec.models import build
from easyrec.models.hofm import Config

READ = {"features": ["user", "item", "cate", "price", "size"], "sequences": [{"sequence": "clicks"}]}


def crossed(flat, order, dim=4):
    """(B,), by a loop over all choices of fields."""
    fields = flat.view(flat.shape[0], -1, dim)
    return sum(fields[:, list(c)].prod(1).sum(1) for c in combinations(range(fields.shape[1]), order))


@pytest.mark.parametrize("order", [2, 3, 4])
def test_logit_is_linear_plus_the_crosses_of_each_order(case, task, order):
    made = case("hofm", order=order, groups={"deep": READ}, embedding_init={"type": "normal", "std": 0.05})
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    expected = x.tensors["first:deep"].sum(1) + x.tensors["dense:deep"] @ model.dense_weights["deep"].weight[0]
    for m in range(2, order + 1):
        expected = expected + crossed(x.tensors["emb:deep" if m == 2 else f"emb:order_{m}"], m)
    torch.testing.assert_close(model(x)["logit"], expected + model.head.bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shared", [True, False])
def test_orders_have_tables_of_their_own_unless_they_share(case, shared):
    tables = [t.name for t in case("hofm", groups={"deep": ["user", "item", "cate"]}, shared=shared).plan.tables]
    own = [] if shared else ["user:order_3", "item:order_3", "cate:order_3"]
    firsts = ["user:first", "item:first", "cate:first"]
    assert sorted(tables) == sorted(["user", "item", "cate", *firsts, *own])


def test_orders_without_enough_fields_are_refused(case, task):
    groups = {"deep": ["user", "item", "cate"], "order_3": ["user"]}
    made = case("hofm", order=4, groups=groups, embedding_init={"type": "xavier"})
    with pytest.raises(ConfigError) as caught:
        build(made.config, made.plan, [task])
    assert [(p.where, p.message) for p in caught.value.problems] == [
        ("model.order", "order 3 crosses 3 different fields, but 'order_3' has 1"),
        ("model.order", "order 4 crosses 4 different fields, but 'order_4' has 3"),
    ]


def test_tables_whose_gradients_would_be_too_small_to_learn_are_refused():
    with pytest.raises(
        ValidationError, match=r"order 4 do not learn from 0\.0001.*\nset embedding_init.*or shared: true"
    ):
        Config(order=4)
    for keys in ({"shared": True}, {"embedding_init": {"type": "normal", "std": 0.05}}, {"order": 3}):
        Config(**{"order": 4, **keys})
