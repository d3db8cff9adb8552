import contextlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import easyrec

ROWS = 200
EXPERIMENT = {
    "name": "ctr",
    "data": {"labels": ["click"]},
    "features": [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 20000},
        {"type": "raw", "name": "age", "expression": "user:age", "boundaries": [20, 40]},
        {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": 200},
        {"type": "raw", "name": "price", "expression": "item:price", "boundaries": [10, 50], "stub_type": True},
        {
            "type": "combo",
            "name": "price_x_cate",
            "expression": ["feature:price", "feature:cate"],
            "hash_bucket_size": 1000,
        },
    ],
    "model": {"type": "lr"},
    "train": {"steps": 2},
    "export": {"runtimes": ["torch_export"]},
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a run of `EXPERIMENT`, with its bundle."""
    folder = tmp_path_factory.mktemp("runs")
    random = np.random.default_rng(0)
    most = {"user_id": 100, "age": 80, "cate": 200, "price": 90, "click": 2}
    pq.write_table(
        pa.table({name: random.integers(0, top, ROWS) for name, top in most.items()}), folder / "shop.parquet"
    )
    source = {"type": "parquet", "path": "shop.parquet"}
    config = {**EXPERIMENT, "data": {**EXPERIMENT["data"], "train": source}}
    with contextlib.chdir(folder):
        return easyrec.train(config, run_dir=folder / "ctr").path
