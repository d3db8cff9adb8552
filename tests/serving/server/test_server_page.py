"""The pages about the server: their configs run, their tables are complete, their clients are answered."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from serving.server.config import (
    CatalogueConfig,
    FeaturesConfig,
    ItemCacheConfig,
    ItemSource,
    LimitsConfig,
    ModelConfig,
    ServerConfig,
    UserCacheConfig,
    load_server_config,
)
from serving.server.endpoints import routes
from serving.server.metrics import HELP
from serving.server.sources import source_config

GUIDE = Path(__file__).parents[3] / "docs" / "guide"
PAGE, CLIENTS, ENGINE = (
    (GUIDE / name).read_text(encoding="utf-8") for name in ("server.md", "server_clients.md", "engine.md")
)
TOKEN = "a token of the shop's own"


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.M | re.S)


@pytest.fixture
def shop(toys, toy_rows, tmp_path, monkeypatch):
    """The folder in which the page's commands are typed."""
    for name in ("current", "stable", "canary", "next"):
        shutil.copytree(toys("deepfm").bundle, tmp_path / "bundles" / name)
    items = toy_rows(20).select(["item_id", "cate", "tags", "price", "score"])
    items = items.set_column(0, "item_id", pa.array([f"i{n}" for n in range(20)]))
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_batches([items]), tmp_path / "data" / "items.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    monkeypatch.setenv("SHOP_ADMIN_TOKEN", f"{TOKEN}, the admin's")
    return tmp_path


@pytest.mark.parametrize("block", blocks(PAGE, "yaml"), ids=lambda block: block.splitlines()[0].strip("# "))
def test_a_config_of_the_page_answers(shop, with_app, request_parts, block):
    user, items, context = request_parts

    async def work(client):
        headers = {"authorization": f"Bearer {TOKEN}"}
        asked = ["i1", "i7"] if "catalogue:" in block else items
        return await client.post("/predict", json={"user": user, "items": asked, "context": context}, headers=headers)

    if "elsewhere" in block:  # `test_sources.py` serves from these
        config = load_server_config(yaml.safe_load(block)).models[0]
        assert (config.bundle.type, source_config(config.deltas).type) == ("object_store", "redis")
        return
    answer = with_app(
        work, **yaml.safe_load(block.replace("${SHOP_ADMIN_TOKEN}", TOKEN[::-1]).replace("${SHOP_TOKEN}", TOKEN))
    )
    assert answer.status_code == 200, answer.text
    Path("serving.yaml").write_text(block)
    assert load_server_config("serving.yaml").models[0].name == "ctr"


def test_the_tables_name_every_key():
    told = set(re.findall(r"`(\w+)`", PAGE))
    told |= {key.rpartition(".")[2] for key in re.findall(r"`([\w.]+)`", PAGE)}
    for config in (
        ServerConfig,
        ModelConfig,
        LimitsConfig,
        CatalogueConfig,
        ItemSource,
        UserCacheConfig,
        ItemCacheConfig,
        FeaturesConfig,
    ):
        assert set(config.model_fields) - {"name"} <= told, config


def test_the_page_names_every_metric_and_endpoint():
    engine = {name for name in HELP if name.startswith("easyrec_engine_")}
    assert set(HELP) - engine <= set(re.findall(r"`(easyrec_\w+)`", PAGE))
    assert engine <= set(re.findall(r"`(easyrec_engine_\w+)`", ENGINE))
    told = PAGE.replace("{v}", "{version}")
    for route in routes():
        bare = re.sub(r"/versions/\{version\}", "", route.path)
        last = bare.rpartition("/")[2]
        assert bare in told or f"/{last}" in told, route.path


@pytest.mark.slow
@pytest.mark.parametrize("language", ["python", "go", "java", "cpp"])
def test_a_client_of_the_page_is_answered(serving, make_toy, tmp_path, language):
    features = [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "hash_bucket_size": 1000},
        {"type": "id", "name": "item_id", "expression": "item:item_id", "hash_bucket_size": 1000},
        {"type": "raw", "name": "price", "expression": "item:price", "boundaries": [1, 5, 20]},
    ]
    toy = make_toy({"type": "deepfm", "hidden": [8]}, tmp_path / "shop" / "bundle", features=features)
    from serving import Predictor

    with Predictor.load(toy.bundle) as predictor:
        items = [{"item_id": "i1", "price": 9.5}, {"item_id": "i2", "price": 20.0}]
        expected = predictor.predict({"user_id": "u7"}, items)["click"]
    (program,) = blocks(CLIENTS, language)
    runner = {"go": "go", "java": "java", "cpp": "g++", "python": "python3"}[language]
    if shutil.which(runner) is None:
        pytest.skip(f"needs {runner}")
    if language == "cpp" and not any(Path("/usr/include").rglob("curl/curl.h")):
        pytest.skip("needs libcurl's headers: apt-get install libcurl4-openssl-dev")
    server = serving(models=[{"name": "ctr", "bundle": str(toy.bundle)}])
    program = program.replace("localhost:8000", server.url.removeprefix("http://"))
    if language == "python":
        pytest.importorskip("tritonclient.http", reason="needs tritonclient", exc_type=Exception)
        names = {}
        exec(program, names)
        assert np.array_equal(names["answer"].as_numpy("click"), expected)
        return
    file = tmp_path / {"go": "score.go", "java": "Score.java", "cpp": "score.cpp"}[language]
    file.write_text(program)
    if language == "cpp":
        subprocess.run(["g++", "-std=c++17", "-o", str(tmp_path / "score"), str(file), "-lcurl"], check=True)
    command = {"go": ["go", "run", str(file)], "java": ["java", str(file)], "cpp": [str(tmp_path / "score")]}[language]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    found = np.float32([float(number) for number in re.findall(r"0\.\d+|\d\.\d+e-\d+", told)][:2])
    if language == "cpp":
        found = np.float32(re.search(r'"data":\[([^\]]*)\]', told)[1].split(","))
    assert np.array_equal(found, expected), told
