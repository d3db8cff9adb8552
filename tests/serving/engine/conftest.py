"""A small shop, and engines over it: without models, and with two towers and a ranking model."""

import asyncio
import contextlib
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import easyrec
from serving.engine.config import load_engine_config
from serving.engine.live import Live
from serving.engine.rows import Rows
from serving.engine.world import World
from serving.server.models import Models

MISSING = [name for name in ("uvicorn", "orjson", "httpx") if find_spec(name) is None]
NUM = 120
NOON = 1_767_268_800_000


class Skipped(pytest.Module):
    """A file whose tests cannot run."""

    def collect(self):
        pytest.skip(
            f"needs {', '.join(MISSING)}, as the extras 'serving' and 'dev' bring them", allow_module_level=True
        )


def pytest_pycollect_makemodule(module_path, parent):
    """Skip all files here where something is missing."""
    return Skipped.from_parent(parent, path=module_path) if MISSING else None


def items(count=NUM):
    """Items 1000, 1001, ...: six categories, brands in turn, every tenth out of stock, the last ones the newest."""
    number = np.arange(count)
    return pa.table(
        {
            "item_id": number + 1000,
            "cate": pa.array([f"c{n % 6}" for n in number]),
            "brand": number % 11,
            "price": (number % 17).astype(np.float64),
            "stock": pa.array(np.where(number % 10 == 9, 0, 5)),
            "tags": pa.array([[f"t{n % 4}", f"t{n % 5}"] for n in number]),
            "born": pa.array(NOON - (count - number) * 3_600_000, pa.timestamp("ms")),
            "sales": (count - number).astype(np.float64),
            "title": pa.array([f"thing {n}" for n in number]),
        }
    )


@pytest.fixture
def rows():
    """The catalogue."""
    return Rows(items(), "item_id")


@pytest.fixture
def shop(tmp_path):
    """A folder with the catalogue and files beside it."""
    pq.write_table(items(), tmp_path / "items.parquet")
    near = [
        (1000 + a, 1000 + b, 1.0 / (1 + abs(a - b)))
        for a in range(NUM)
        for b in range(a - 3, a + 4)
        if 0 <= b < NUM and a != b
    ]
    pq.write_table(
        pa.table(dict(zip(("item", "neighbour", "score"), zip(*near, strict=True), strict=True))),
        tmp_path / "near.parquet",
    )
    return tmp_path


def config_of(folder, recall=None, scene=None, **more):
    """An engine's config without models."""
    recall = recall or [{"type": "popular", "by": "sales", "count": 60}]
    return {
        "port": 0,
        "catalogue": {
            "source": {"path": str(folder / "items.parquet")},
            "key": "item_id",
            "title": "title",
            "refresh_s": 0,
        },
        "events": {"click": 1, "buy": 3, "view": 0},
        "scenes": [{"name": "feed", "size": 10, "deadline_ms": 2000, "recall": recall, **(scene or {})}],
        **more,
    }


@pytest.fixture
def engine_of(shop):
    """Makes engines of this process."""
    from serving.engine.service import EngineService

    made = []

    def make(recall=None, scene=None, **more):
        config = load_engine_config(config_of(shop, recall, scene, **more))
        service = EngineService(config, shop / f"state{len(made)}")
        made.append(service)
        service.keeper.begin()
        service.engine.begin(strict=True)
        return service.engine

    yield make
    for service in made:
        service.admission.pool.shutdown()
        service.after.close()
        service.engine.close()
        service.models.close()


@pytest.fixture
def world(shop, rows):
    """What sources, filters and stages share, without an engine around them."""
    from serving.engine import history

    config = load_engine_config(config_of(shop))
    return World(config, Models([]), history.build(config.history), Live(rows))


@contextlib.asynccontextmanager
async def application(config, state):
    """The ASGI application of an engine, started; and a client of it."""
    import httpx

    from serving.engine.endpoints import engine_routes
    from serving.engine.service import EngineService
    from serving.server.app import App

    service = EngineService(load_engine_config(config), state)
    app = App(service, engine_routes())
    await service.start()
    try:
        for _ in range(3000):
            if service.ready:
                break
            await asyncio.sleep(0.01)
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            client.service = service
            yield client
    finally:
        await service.stop()


@pytest.fixture
def with_engine(shop):
    """Runs a coroutine function over the application of an engine."""

    def run(work, recall=None, scene=None, **more):
        async def go():
            async with application(config_of(shop, recall, scene, **more), shop / "state") as client:
                return await work(client)

        return asyncio.run(go())

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Two towers with vectors of the items, and a ranking model with two tasks."""
    folder = tmp_path_factory.mktemp("trained")
    pq.write_table(items(), folder / "items.parquet")
    random = np.random.default_rng(1)
    log = pd.DataFrame({"user_id": random.integers(0, 30, 400), "item_id": random.integers(1000, 1000 + NUM, 400)})
    log = log.merge(items().select(["item_id", "cate", "price"]).to_pandas(), on="item_id")
    log["hour"], log["click"], log["buy"] = random.integers(0, 24, len(log)), random.integers(0, 2, len(log)), 0
    log.loc[log["click"] == 1, "buy"] = random.integers(0, 2, int(log["click"].sum()))
    features = [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 30},
        {
            "type": "id",
            "name": "clicked",
            "expression": "user:clicked_items",
            "hash_bucket_size": 500,
            "pooling": "mean",
        },
        {"type": "id", "name": "item_id", "expression": "item:item_id", "hash_bucket_size": 500},
        {"type": "id", "name": "cate", "expression": "item:cate", "hash_bucket_size": 20},
    ]
    log["clicked_items"] = [[1000 + int(n)] for n in random.integers(0, NUM, len(log))]
    train = {"epochs": 1, "threads": 1}
    tower = {
        "name": "tower",
        "data": {"sampler": {"type": "in_batch"}, "batch_size": 64},
        "features": features,
        "model": {"type": "dssm", "embedding_dim": 8, "hidden": [8], "output_dim": 8},
        "train": train,
    }
    tower["model"]["groups"] = {"user": ["user_id", "clicked"], "item": ["item_id", "cate"]}
    easyrec.train(tower, data={"train": log, "items": items().to_pandas()}, run_dir=folder / "tower", progress=False)
    easyrec.embed(folder / "tower", items().to_pandas(), index="flat")
    more = [
        {"type": "raw", "name": "price", "expression": "item:price", "boundaries": [3, 6, 9]},
        {"type": "id", "name": "hour", "expression": "context:hour", "num_buckets": 24},
    ]
    rank = {
        "name": "rank",
        "data": {"labels": ["click", "buy"], "batch_size": 64},
        "features": features + more,
        "model": {
            "type": "mmoe",
            "embedding_dim": 8,
            "experts": 2,
            "tasks": [{"name": "ctr", "label": "click"}, {"name": "cvr", "label": "buy"}],
        },
        "train": train,
        "export": {"runtimes": ["torch_export"]},
    }
    easyrec.train(rank, data={"train": log, "valid": log}, run_dir=folder / "rank", progress=False)
    return SimpleNamespace(
        folder=folder,
        tower=folder / "tower" / "bundle" / "user",
        items=folder / "tower" / "items",
        rank=folder / "rank" / "bundle",
    )


def ids(answer):
    """The items of an answer."""
    return [item["item_id"] for item in answer["items"]]


@pytest.fixture
def here():
    """This folder."""
    return Path(__file__).parent
