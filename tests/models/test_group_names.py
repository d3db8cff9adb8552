"""Groups, tasks and blocks may be called like words of torch's own, groups also with dots."""

import numpy as np
import pytest

import easyrec
from easyrec.check import build
from easyrec.config import load_experiment
from easyrec.errors import ConfigError
from serving import Predictor

ROWS = 64
SEQUENCE = {
    "type": "sequence",
    "name": "clicks",
    "sequence_length": 5,
    "features": [
        {
            "type": "id",
            "name": "item",
            "expression": "item:item",
            "num_buckets": 50,
            "embedding_name": "item",
        }
    ],
}
FEATURES = [
    {"type": "id", "name": "user", "expression": "user:user", "num_buckets": 50},
    {"type": "id", "name": "item", "expression": "item:item", "num_buckets": 50},
    {"type": "raw", "name": "price", "expression": "item:price"},
    {
        "type": "raw",
        "name": "age",
        "expression": "user:age",
        "embedding_dim": 4,
        "dense_embedding": "mlp",
    },
    SEQUENCE,
]
DIN = {"features": ["item"], "sequences": [{"sequence": "clicks", "encoder": "din"}]}
GATED = {"features": ["user", "age"], "feature_wise": ["gate"]}
BOTH = [{"name": "train", "label": "click"}, {"name": "forward", "label": "buy"}]
BLOCKS = [
    {"name": "eval", "type": "first_order", "group": "a.b"},
    {"name": "type", "type": "flat", "group": "train"},
    {"name": "half", "type": "flat", "group": "a.b"},
    {"name": "keys", "type": "sequence", "group": "training", "sequence": "clicks"},
]

MODELS = {
    "towers": {
        "type": "multi_tower",
        "groups": {"train": GATED, "a.b": ["user", "price"], "training": DIN, "type": ["item"]},
        "tower": [4],
        "towers": {"a.b": [3]},
        "hidden": [4],
    },
    "towers-beside-sequences": {
        "type": "multi_tower_din",
        "groups": {"forward": GATED, "a.b": {**DIN, "features": ["item", "price"]}, "a%2Eb": ["user"]},
        "towers": {"a.b": {"hidden": [3]}},
        "hidden": [4],
    },
    "relations": {"type": "dbmtl", "tasks": BOTH, "relations": {"forward": ["train"]}},
    "blocks": {
        "type": "backbone",
        "groups": {"train": GATED, "a.b": ["user", "price"], "training": DIN},
        "packages": [
            {
                "name": "pop",
                "inputs": ["x"],
                "output": "to",
                "blocks": [{"name": "to", "type": "mlp", "input": "x", "hidden": [3]}],
            }
        ],
        "blocks": [
            *BLOCKS,
            {"name": "update", "type": "package", "package": "pop", "input": ["type"]},
        ],
        "heads": [{"input": ["half", "keys", "update"], "terms": "eval"}],
    },
}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return {
        "user": rng.integers(0, 50, ROWS).tolist(),
        "item": rng.integers(0, 50, ROWS).tolist(),
        "price": rng.random(ROWS).tolist(),
        "age": rng.random(ROWS).tolist(),
        "clicks__item": [rng.integers(0, 50, rng.integers(0, 5)).tolist() for _ in range(ROWS)],
        "click": (np.arange(ROWS) % 2).tolist(),
        "buy": (np.arange(ROWS) % 3 == 0).tolist(),
    }


def config(model):
    return {
        "name": "named",
        "data": {"labels": ["click", "buy"], "batch_size": 32},
        "features": FEATURES,
        "model": {"embedding_dim": 4, **model},
        "train": {"epochs": 1},
    }


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_model_is_drawn_trained_read_back_and_served(tmp_path, rows, model):
    picture = build(load_experiment(config(model))).picture()
    boxes = {box.id for panel in picture.panels for box in panel.boxes}
    assert {f"group:{name}" for name in model.get("groups", {"deep": None})} <= boxes
    run = easyrec.train(config(model), data={"train": rows, "valid": rows}, run_dir=tmp_path / "run", progress=False)
    again = easyrec.evaluate(tmp_path / "run", data={"valid": rows})
    assert again.metrics["valid"] == pytest.approx(run.metrics["valid"])
    assert Predictor.load(tmp_path / "run" / "bundle")  # its rows score as they were trained


def test_problems_of_a_group_with_a_dot_are_told_at_their_line(tmp_path):
    (tmp_path / "c.yaml").write_text("""\
data: {labels: [click]}
features:
  - {type: id, name: user, expression: "user:user", num_buckets: 50, embedding_dim: 4}
model:
  type: multi_tower
  groups:
    a: [user]
    a.b: [user]
    a.c:
      features:
        - user
        - usr
    a.d: [user,
      usr]
""")
    with pytest.raises(ConfigError) as error:
        load_experiment(tmp_path / "c.yaml")
    assert [(problem.line, problem.where) for problem in error.value.problems] == [
        (12, "model . groups . a.c . features[1]"),
        (14, "model . groups . a.d[1]"),
    ]
