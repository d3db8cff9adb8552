"""The page about reading features while serving: a shop is trained, published and served by ids, bit for bit."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from easyrec.store.definitions import load_store
from serving.server.config import load_server_config
from serving.store.config import load_store_server

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guide" / "feature_store_serving.md").read_text(encoding="utf-8")


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.slow
def test_a_shop_is_trained_published_and_served_by_ids_bit_for_bit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for text in blocks("yaml"):
        (tmp_path / re.search(r"# (\S+\.yaml)", text)[1]).write_text(text)
    shop, memory, streams = blocks("python")
    names = {}
    exec(compile(shop, "page", "exec"), names)
    assert names["scores"]["click"].shape == (3,)

    predictor, rows = names["predictor"], names["rows"]
    last = {join: {} for join in ("user_id", "item_id")}  # of several rows of a key without a time the last one counts
    for join, found in last.items():
        for place, key in enumerate(rows.column(join).to_pylist()):
            found[key] = place
    users, items = list(last["user_id"])[:20], list(last["item_id"])[:200]
    given = rows.take(pa.array([last["item_id"][item] for item in items]))
    plain = type(predictor).load(predictor.bundle.path)
    spread = set()
    for user in users:
        row = rows.take(pa.array([last["user_id"][user]]))
        known = plain.predict(row, given, {"scene": "home"})
        found = predictor.predict({"user_id": user}, items, {"scene": "home"})
        np.testing.assert_array_equal(found["click"], known["click"])
        spread |= set(known["click"].tolist())
    assert len(spread) > 1000
    won = predictor.predict(
        {"user_id": users[0], "age": 20}, {"item_id": items, "price": [1.0] * 200}, {"scene": "home"}
    )
    assert not np.array_equal(won["click"], found["click"])

    exec(compile(memory, "page", "exec"), names)
    assert capsys.readouterr().out.endswith("3 frozenset()\n")
    exec(compile(streams, "page", "exec"), names)


def test_every_config_is_one(monkeypatch):
    monkeypatch.setenv("STORE_TOKEN", "a token that is long enough")
    _, store, serving, server = (yaml.safe_load(text) for text in blocks("yaml"))
    config = load_store(store)
    assert set(config.read.memory) == {"item", "user"}
    assert load_store_server(store).serve.port == 8010
    assert load_server_config(serving).models[0].features.model in {model.name for model in config.models}
    server.pop("base")
    assert load_store_server({**store, **server}).serve.limits.items == 2000


def test_the_protocol_is_the_one_that_is_spoken():
    pytest.importorskip("google.protobuf")
    from serving.store.grpc_server import MESSAGES

    (text,) = blocks("protobuf")
    told = {}
    for name, body in re.findall(r"message (\w+) \{(.*?)\}", text):
        fields = re.findall(r"(repeated )?(\w+) (\w+) = (\d+);", body)
        told[name] = {field: (int(number), ("*" if many else "") + kind) for many, kind, field, number in fields}
    assert told == MESSAGES


def test_every_metric_is_told():
    from serving.server.metrics import HELP

    known = {name for name in HELP if name.startswith("easyrec_store_")}
    told = set()
    for row in re.findall(r"^\| (`easyrec_store_.*?) \|", PAGE, re.MULTILINE):
        first, *others = re.findall(r"`(\w+)`", row)
        told |= {first, *(first.rpartition("_")[0] + other for other in others)}
    assert told == known


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)", PAGE))
def test_its_links_lead_somewhere(link):
    assert (ROOT / "docs" / "guide" / link).exists()
