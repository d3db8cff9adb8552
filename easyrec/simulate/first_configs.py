"""The configs that a bootstrapped folder begins with: a ranker, two towers, near items, an engine, and the world."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from easyrec.simulate.config import SimulateConfig

STEPS = 20
"""Clicks of a user that models read: the newest of those that were told before the request."""
RANKER = """\
# Scores what was recalled. Positions are learned so that the rest is not: when the engine asks, everything stands on top.
name: ranker
data:
  train: {{type: parquet, path: train.parquet}}
  valid: {{type: parquet, path: valid.parquet}}
  labels: [click, buy]
  reserved: [user_id, item_id]
  batch_size: 1024
features:
{features}
{clicked}
  - {{type: id, name: position, expression: "item:position", num_buckets: {size}, default_value: "0"}}
model:
  type: deepfm
  embedding_dim: 16
  hidden: [64, 32]
  tasks: [{{name: ctr, label: click}}, {{name: cvr, label: buy, mask: "click == 1", weight: 0.2}}]
train:
  epochs: 2
  sparse_optimizer: {{type: lazy_adam, lr: 0.003}}
  dense_optimizer: {{type: adam, lr: 0.002}}
eval: {{metrics: [auc, logloss]}}
"""
TOWERS = """\
# Recalls: vectors of users and items whose inner product tells what is clicked.
name: towers
data:
  train: {{type: parquet, path: taken.parquet}}
  valid: {{type: parquet, path: taken_valid.parquet}}
  items: {{type: parquet, path: items.parquet}}
  item_id: item_id
  sampler: {{type: in_batch, logq: true}}
  labels: []
  reserved: [user_id, item_id]
  batch_size: 256
features:
{features}
{clicked}
model:
  type: dssm
  embedding_dim: 16
  groups:
    user: {{features: [user_id, age, gender, city, level], sequences: [{{sequence: clicked_item}}, {{sequence: clicked_cate}}]}}
    item: [item_id, cate, brand, price]
  hidden: [64]
  output_dim: 32
  temperature: 0.1
train: {{epochs: 5, sparse_optimizer: {{type: lazy_adam, lr: 0.005}}, dense_optimizer: {{type: adam, lr: 0.002}}}}
eval: {{retrieval: {{}}}}
"""
NEAR = """\
# Recalls: items that the same users clicked.
name: near
data:
  train: {type: parquet, path: taken.parquet}
  items: {type: parquet, path: items.parquet}
features:
  - {type: id, name: user_id, expression: "user:user_id", hash_bucket_size: 1000000}
  - {type: id, name: item_id, expression: "item:item_id", hash_bucket_size: 1000000}
model: {type: item_cf, neighbours: 50, groups: {user: [user_id], item: [item_id]}}
"""


ENGINE = """\
# Answers POST /recommend: easyrec engine serve -c engine.yaml
# What it reads was made by: easyrec train -c experiment.yaml; easyrec train -c towers.yaml; easyrec embed -c towers.yaml;
# easyrec train -c near.yaml
port: {port}
catalogue: {{source: {{path: items.parquet}}, key: item_id, refresh_s: 1}}
# What users clicked becomes columns, as in the rows of training.
history: {{type: memory, steps: {steps}, columns: {{clicked_item: item_id, clicked_cate: cate}}}}
events: {{click: 1.0, buy: 2.0}}
record: {{path: logs, file_s: 2}}
models:
  - {{name: ranker, bundle: runs/ranker/bundle}}
  - {{name: towers, bundle: runs/towers/bundle/user}}
scenes:
  - name: {scene}
    size: {size}
    deadline_ms: 500
    recall:
      - {{type: vector, name: towers, model: towers, items: runs/towers/items, count: 200}}
      - {{type: item_to_item, name: near, path: runs/near/bundle/neighbours.parquet, count: 100}}
      - {{type: popular, count: 100}}
      - {{type: recent, column: birth_time, unit: ms, count: 30}}
    merge: {{count: 300, quotas: {{recent: 30}}}}
    rank: {{model: ranker, score: ctr, columns: {{position: 0}}}}
    # A tenth of the positions is left to chance, so that something is learned of all items, and of other policies.
    rerank: [{{type: epsilon, share: 0.1, pool: 50}}]
    fallback: popular
"""
CLICKED = """\
  - {{type: id, name: clicked_item, expression: "user:clicked_item", hash_bucket_size: {items}, embedding_name: item_id,
     sequence_length: {steps}}}
  - {{type: id, name: clicked_cate, expression: "user:clicked_cate", num_buckets: {cates}, embedding_name: cate,
     sequence_length: {steps}}}"""


def first_configs(config: SimulateConfig) -> dict[str, str]:
    """The configs by the names of their files, in the order in which they are used."""
    features = _features(config)
    clicked = CLICKED.format(items=_room(config.world.num_items), cates=config.world.categories, steps=STEPS)
    port = urlsplit(config.drive.url).port or 8020
    drive = config.drive
    return {
        "experiment.yaml": RANKER.format(features=features, clicked=clicked, size=drive.size),
        "towers.yaml": TOWERS.format(features=features, clicked=clicked),
        "near.yaml": NEAR,
        "engine.yaml": ENGINE.format(port=port, scene=drive.scene or "feed", size=drive.size, steps=STEPS),
        "simulate.yaml": _simulate(config),
    }


def _features(config: SimulateConfig) -> str:
    """Features of users and items, one a line."""
    world = config.world
    users, items = _room(world.users), _room(world.num_items)
    lines = [
        f'{{type: id, name: user_id, expression: "user:user_id", hash_bucket_size: {users}}}',
        '{type: raw, name: age, expression: "user:age", boundaries: [20, 25, 30, 36, 43, 52, 62]}',
        '{type: id, name: gender, expression: "user:gender", vocab_list: [female, male]}',
        '{type: id, name: city, expression: "user:city", num_buckets: 50}',
        '{type: id, name: level, expression: "user:level", num_buckets: 5}',
        f'{{type: id, name: item_id, expression: "item:item_id", hash_bucket_size: {items}}}',
        f'{{type: id, name: cate, expression: "item:cate", num_buckets: {world.categories}}}',
        f'{{type: id, name: brand, expression: "item:brand", num_buckets: {world.brands}}}',
        '{type: raw, name: price, expression: "item:price", boundaries: [8, 14, 20, 27, 35, 45, 58, 75, 100, 140, 210]}',
    ]
    return "\n".join(f"  - {line}" for line in lines)


def _room(number: int) -> int:
    """Buckets enough that few of so many ids share one."""
    return max(10_000, 10 * number)


def _simulate(config: SimulateConfig) -> str:
    """The simulation itself, so that the folder says which world it is of."""
    written = config.model_dump(mode="json", exclude_unset=True)
    written["drive"] = {**written.get("drive", {}), "items": "items.parquet"}
    written["drive"].pop("token", None)
    lines = ["# The world that this folder is of: easyrec simulate run -c simulate.yaml", f"name: {config.name}"]
    sections = [name for name in ("world", "drive", "bootstrap") if written.get(name)]
    lines += [f"{name}: {json.dumps(written[name], ensure_ascii=False)}" for name in sections]
    return "\n".join(lines) + "\n"
