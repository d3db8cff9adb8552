"""The page about serving on a GPU: its code and its config run, its table is complete."""

import re
from pathlib import Path

import pytest
import torch
import yaml

from serving.gpu.config import DeviceConfig
from serving.server.config import load_server_config

PAGE = (Path(__file__).parents[3] / "docs" / "guide" / "serving_gpu.md").read_text(encoding="utf-8")


def block(language):
    return re.search(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S).group(1)


def test_the_code_of_the_page_runs(make_toy, tmp_path, monkeypatch, capsys):
    features = [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 100},
        {"type": "id", "name": "age", "expression": "user:age", "num_buckets": 100},
        {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": 10},
        {"type": "raw", "name": "price", "expression": "item:price"},
        {"type": "id", "name": "hour", "expression": "context:hour", "num_buckets": 24},
    ]
    import pyarrow as pa

    rows = pa.record_batch({name: list(range(1, 9)) for name in ("user_id", "age", "cate", "price", "hour")})
    make_toy({"type": "deepfm", "hidden": [8]}, tmp_path / "runs" / "my_shop" / "bundle", rows=rows, features=features)
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(block("python"), found)
    assert found["scores"]["click"].shape == (1,)
    assert ("DeviceStats" in capsys.readouterr().out) is torch.cuda.is_available()


def test_the_config_of_the_page_is_one(tmp_path):
    (tmp_path / "serving.yaml").write_text(block("yaml"))
    assert load_server_config(tmp_path / "serving.yaml").models[0].device == DeviceConfig(name="auto", sessions=2)


def test_the_table_names_every_key():
    assert set(DeviceConfig.model_fields) <= set(re.findall(r"^\| `(\w+)`", PAGE, re.M))


@pytest.mark.parametrize(("told", "name"), [("cuda:1", "cuda:1"), ({"name": "auto"}, "auto"), (None, "cpu")])
def test_a_model_says_its_device(tmp_path, told, name):
    model = {"name": "ctr", "bundle": "b"} | ({} if told is None else {"device": told})
    (tmp_path / "serving.yaml").write_text(yaml.safe_dump({"models": [model]}))
    assert load_server_config(tmp_path / "serving.yaml").models[0].device.name == name
