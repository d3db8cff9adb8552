"""Tables with an embedding per other field: from training on the shop to the predictor."""

import numpy as np
import pyarrow as pa
import pytest

import easyrec
from easyrec.data.sources import synthetic
from serving import Predictor

FEATURES = [
    {"type": "raw", "name": "age", "expression": "user:age", "boundaries": [20, 30, 43, 62]},
    {"type": "id", "name": "city", "expression": "user:city", "num_buckets": 300},
    {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": 200},
    {"type": "id", "name": "tags", "expression": "item:tags", "hash_bucket_size": 1000},
    {"type": "raw", "name": "log_price", "expression": "item:price", "normalizer": "method=log10,threshold=1e-3"},
    {
        "type": "sequence",
        "name": "click_seq",
        "sequence_length": 20,
        "features": [
            {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": 200, "embedding_name": "cate"}
        ],
    },
]
PLAIN = ["age", "city", "cate", "tags", "log_price"]


def shop(split, rows=40_000):
    """Some rows of a split."""
    source = synthetic.Config(rows=rows, seed=5, split=split).open()
    columns = ["age", "city", "cate", "tags", "price", "click_seq__cate", "click"]
    return pa.Table.from_batches([batch for unit in source.units() for batch in source.read(unit, columns)])


@pytest.mark.parametrize(("type", "encoder"), [("ffm", "din"), ("onn", "pooling")])
def test_a_trained_model_serves_as_it_predicts(type, encoder, tmp_path):
    group = {"features": PLAIN, "sequences": [{"sequence": "click_seq", "encoder": encoder}]}
    config = {
        "name": "aware",
        "data": {"labels": ["click"], "batch_size": 256},
        "features": FEATURES,
        "model": {"type": type, "embedding_dim": 2, "groups": {"deep": group}},
        "train": {
            "epochs": 1,
            "threads": 1,
            "sparse_optimizer": {"type": "lazy_adam", "lr": 0.01},
        },
    }
    if type == "onn":
        config["model"]["hidden"] = [8]
    data = {"train": shop("train"), "valid": shop("valid")}
    run = easyrec.train(config, data=data, run_dir=tmp_path / "run", progress=False)
    test = shop("test").slice(0, 300)
    predicted = easyrec.predict(tmp_path / "run", test)["click"].to_numpy()
    with Predictor.load(run.bundle) as predictor:
        np.testing.assert_allclose(predictor.predict_batch(test)["click"], predicted, rtol=0, atol=1e-6)
    assert predicted.std() > 0.001
    assert run.metrics["valid"]["auc"] > 0.55
