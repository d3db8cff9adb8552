"""LightGCN: what it compares, and the configs that it refuses, with place and remedy."""

import copy

import pytest
import torch

from easyrec import models
from easyrec.check import build
from easyrec.config import load_experiment
from easyrec.errors import ConfigError

CONFIG = {
    "name": "graph",
    "data": {
        "train": {"type": "parquet", "path": "train.parquet"},
        "items": {"type": "parquet", "path": "items.parquet"},
        "sampler": {"type": "uniform"},
    },
    "features": [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 20},
        {"type": "id", "name": "city", "expression": "user:city", "num_buckets": 20},
        {"type": "id", "name": "like_user", "expression": "item:owner", "num_buckets": 20, "embedding_name": "user_id"},
        {"type": "raw", "name": "age", "expression": "user:age"},
        {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 30},
        {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": 30},
        {"type": "id", "name": "wide", "expression": "user:wide", "num_buckets": 30, "embedding_dim": 32},
        {
            "type": "sequence",
            "name": "past",
            "sequence_length": 5,
            "features": [{"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 30}],
        },
    ],
    "model": {"type": "lightgcn", "embedding_dim": 16, "groups": {"user": ["user_id"], "item": ["item_id"]}},
}


def changed(**changes):
    """The config with other values under dotted paths; None takes a key out."""
    config = copy.deepcopy(CONFIG)
    for path, value in changes.items():
        *parents, key = path.split("__")
        section = config
        for parent in parents:
            section = section[parent]
        if value is None:
            del section[key]
        else:
            section[key] = value
    return config


def test_the_logit_is_the_product_of_what_was_looked_up(case):
    made = case("lightgcn", temperature=0.5)
    experiment = load_experiment(changed())
    assert build(experiment).dense_parameters == 1
    x = made.inputs(5)
    model = models.build(made.config, made.plan, experiment.tasks)
    expected = (x.fields("user")[:, 0] * x.fields("item")[:, 0]).sum(1) / 0.5 + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected)


def test_the_papers_choices_are_the_defaults():
    config = load_experiment(changed()).model
    assert (config.layers, config.loss.type, config.similarity, config.embedding_init.type) == (
        3,
        "bpr",
        "dot",
        "xavier",
    )


SEQUENCE = {"features": [], "sequences": [{"sequence": "past"}]}
REFUSED = {
    "no-sampler": (
        {"data__sampler": None, "data__labels": ["click"]},
        "data",
        r"set sampler: \{type: uniform\}, and items",
    ),
    "several-features": (
        {"model__groups__user": ["user_id", "city"]},
        "user",
        "needs one feature of ids in 'user', but it has: user_id, city\n.*keep the one that tells users apart",
    ),
    "item-features": (
        {"model__groups__item": ["item_id", "cate"]},
        "item",
        "it has: item_id, cate\n.*keep the one that tells items apart",
    ),
    "a-number": ({"model__groups__user": ["age"]}, "user", "needs one feature of ids in 'user', but it has: age"),
    "a-sequence": ({"model__groups__user": SEQUENCE}, "user", "needs one feature of ids in 'user', but it has: past"),
    "no-feature": ({"model__groups__user": []}, "user", "needs one feature of ids in 'user', but it has: none"),
    "no-group": ({"model__groups": {"user": ["user_id"]}}, "groups", "needs a group 'item'"),
    "other-items": (
        {"model__groups__item": ["cate"]},
        "item",
        "tells apart, not 'cate'\n.*list 'item_id' here, or set data.item_id: cate",
    ),
    "other-dims": ({"model__groups__user": ["wide"]}, "item", "'lightgcn' multiplies user and item"),
    "one-table": (
        {"model__groups__item": ["like_user"], "data__item_id": "like_user"},
        "groups",
        "'user_id' and 'like_user' share an embedding_name\n.*give each its own",
    ),
    "no-layers": ({"model__layers": 0}, "layers", "greater than or equal to 1"),
    "tasks": ({"model__tasks": [{"name": "a", "label": "a"}], "data__labels": ["a"]}, "tasks", "leave 'tasks' out"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_cannot_read_is_refused(name):
    changes, place, words = REFUSED[name]
    with pytest.raises(ConfigError, match=words) as caught:
        load_experiment(changed(**changes))
    assert any(place in str(problem.where) for problem in caught.value.problems)
    assert len(caught.value.problems) == 1


def test_groups_may_be_missing_with_one_problem_each():
    with pytest.raises(ConfigError, match="needs a group 'user'"):
        load_experiment(changed(model__groups=None))
