"""What the contestants of `serving.py` serve: DeepFM and DIN, trained for a few steps, as bundles and as TorchScript.

DeepFM has 26 id features, of which 15 belong to the user, and 13 numbers, of which 7 do; dim 16, an MLP of 256-128-64.
It is trained twice from one seed, on texts that are hashed and on the ids that they hash to, so that both bundles hold
the same weights: one answers raw features, the other ids. DIN has a history of 1,000 items, dim 32.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from peers.torch_deepfm import DeepFM
from peers.torch_din import DIN
from serving_requests import write_deepfm_requests, write_din_requests
from torch import Tensor, nn
from train_throughput import PEERS, synthetic

import easyrec
from easyrec.config import load_experiment
from easyrec.embedding.reader import TableReader
from easyrec.train.restore import restore
from feature_generator import FeatureGenerator

FOLDER = PEERS / "serving"
ROWS, DIN_ROWS = 16_384, 1_024
USER_IDS, USER_NUMBERS = 15, 7
USERS, ITEMS, STEPS, DIM = 10_000, 100_000, 1_000, 32
ATTENTION, HIDDEN = [36], [200, 80]
KEY = "row"
"""The column that tells the items of the catalogue apart."""


def deepfm_config(spec: dict[str, Any], data: Path, ids: bool) -> dict[str, Any]:
    """The experiment.

    Args:
        spec: Names and sizes of the columns.
        data: The rows.
        ids: Whether the columns hold ids, else texts.
    """
    sizes, numeric = spec["categorical"], spec["numeric"]
    user = {*list(sizes)[:USER_IDS], *numeric[:USER_NUMBERS]}
    size = "num_buckets" if ids else "hash_bucket_size"
    features = [{"type": "id", "name": name, size: count} for name, count in sizes.items()]
    features += [
        {"type": "raw", "name": name, "dense_embedding": "linear", "embedding_dim": spec["model"]["embedding_dim"]}
        for name in numeric
    ]
    for feature in features:
        feature["expression"] = f"{'user' if feature['name'] in user else 'item'}:{feature['name']}"
    keys = ("embedding_dim", "hidden")
    model = {"type": "deepfm", "embedding_init": {"type": "normal", "std": 0.05}}
    return experiment(data, features, model | {key: spec["model"][key] for key in keys}, batch_size=1024)


def din_config(data: Path) -> dict[str, Any]:
    """The experiment."""
    item = {"type": "id", "name": "item_id", "num_buckets": ITEMS, "embedding_name": "item_id"}
    history = {"type": "sequence", "name": "click_seq", "sequence_length": STEPS}
    features = [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": USERS},
        item | {"expression": "item:item_id"},
        history | {"features": [item | {"expression": "item:item_id"}]},
    ]
    encoder = {"type": "din", "hidden": ATTENTION}
    group = {"features": ["user_id", "item_id"], "sequences": [{"sequence": "click_seq", "encoder": encoder}]}
    model = {"type": "din", "embedding_dim": DIM, "hidden": HIDDEN, "groups": {"deep": group}}
    return experiment(data, features, model | {"embedding_init": {"type": "normal", "std": 0.1}}, batch_size=128)


def experiment(data: Path, features: list[dict[str, Any]], model: dict[str, Any], batch_size: int) -> dict[str, Any]:
    """One epoch over a file, at a rate that moves the weights in so few steps."""
    return {
        "name": data.stem,
        "data": {"train": {"type": "parquet", "path": str(data)}, "labels": ["label"], "batch_size": batch_size},
        "features": features,
        "model": model,
        "train": {
            "epochs": 1,
            "sparse_optimizer": {"type": "rowwise_adagrad", "lr": 0.05},
            "dense_optimizer": {"type": "adam", "lr": 0.003},
        },
    }


def prepare(export: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Path]:
    """Make everything that is served and asked, in `FOLDER`.

    Args:
        export: Keys of the `export` section of all bundles.
        chosen: Those of one more bundle, laid over: optimisations that change scores a little. Empty: no such bundle.

    Returns:
        The bundles by name.
    """
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    write_deepfm(export, chosen)
    write_din(export)
    bundles = {name: FOLDER / name / "bundle" for name in ("ids", "raw", "din")}
    return bundles | ({"chosen": FOLDER / "chosen"} if chosen else {})


def write_deepfm(export: Mapping[str, Any], chosen: Mapping[str, Any]) -> None:
    """Its bundles, the same weights in plain torch and as a program, and requests in all forms."""
    spec = synthetic(ROWS)
    rows = pq.read_table(Path(spec["folder"]) / "train.parquet").combine_chunks()
    texts = {name: pa.array([f"{name}_{value}" for value in rows[name].to_pylist()]) for name in spec["categorical"]}
    raw = pa.table({name: texts.get(name, rows[name]) for name in rows.column_names})
    config = deepfm_config(spec, FOLDER / "raw.parquet", ids=False)
    hashed = FeatureGenerator.load({"features": config["features"]}).transform(raw.to_batches()[0])
    ids = pa.table({name: hashed[name].values if name in texts else rows[name] for name in rows.column_names})
    for name, table in (("raw", raw), ("ids", ids)):
        pq.write_table(table, FOLDER / f"{name}.parquet")
        config = deepfm_config(spec, FOLDER / f"{name}.parquet", ids=name == "ids")
        state, tables = train(config | {"export": dict(export)}, FOLDER / name)
    user = {*list(spec["categorical"])[:USER_IDS], *spec["numeric"][:USER_NUMBERS], "label"}
    of_items = {name: raw[name] for name in raw.column_names if name not in user}
    pq.write_table(pa.table({KEY: np.arange(raw.num_rows)} | of_items), FOLDER / "items.parquet")
    if chosen:
        overrides = {f"export.{key}": value for key, value in chosen.items()}
        easyrec.export(FOLDER / "ids", output=FOLDER / "chosen", overrides=overrides)
    model = plain_deepfm(spec, state, tables).eval()
    (FOLDER / "deepfm.json").write_text(json.dumps(spec))
    torch.save(model.state_dict(), FOLDER / "deepfm.pt")
    matrix = np.stack([ids[name].to_numpy() for name in spec["categorical"]], axis=1).astype(np.int64)
    numbers = np.stack([ids[name].to_numpy() for name in spec["numeric"]], axis=1).astype(np.float32)
    example = torch.from_numpy(matrix[:8]), torch.from_numpy(numbers[:8])
    with warnings.catch_warnings():  # torch would rather have no TorchScript; TorchServe and others live by it
        warnings.simplefilter("ignore")
        program = torch.jit.freeze(torch.jit.trace(Probability(model).eval(), example))
    torch.jit.save(program, str(FOLDER / "program.pt"))
    write_deepfm_requests(FOLDER, raw, matrix, numbers, (USER_IDS, USER_NUMBERS), program)


def write_din(export: Mapping[str, Any]) -> None:
    """Its bundle, the same weights in plain torch, and requests."""
    rng = np.random.default_rng(7)
    history = rng.integers(0, ITEMS, (DIN_ROWS, STEPS))
    users, items = rng.integers(0, USERS, DIN_ROWS), rng.integers(0, ITEMS, DIN_ROWS)
    columns = {"user_id": users, "item_id": items, "click_seq__item_id": pa.array(list(history))}
    labels = (rng.random(DIN_ROWS) < np.where(items % 2, 0.7, 0.2)).astype(np.float32)
    pq.write_table(pa.table(columns | {"label": labels}), FOLDER / "din.parquet")
    state, tables = train(din_config(FOLDER / "din.parquet") | {"export": dict(export)}, FOLDER / "din")
    sizes = {"users": USERS, "items": ITEMS, "dim": DIM, "attention": ATTENTION, "hidden": HIDDEN}
    model = plain_din(sizes, state, tables).eval()
    (FOLDER / "din.json").write_text(json.dumps({"sizes": sizes, "steps": STEPS}))
    torch.save(model.state_dict(), FOLDER / "din.pt")
    write_din_requests(FOLDER, history, ITEMS, model)


def train(config: dict[str, Any], folder: Path) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    """Train and export; the weights of the dense part, and the tables of the bundle."""
    run = easyrec.train(config, run_dir=folder, progress=False)
    weights = TableReader.open(run.bundle / "tables").weights
    model = restore(load_experiment(config), folder).model
    return model.state_dict(), {name: torch.tensor(array, dtype=torch.float32) for name, array in weights.items()}


class Probability(nn.Module):
    """A model of logits as one of probabilities."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, numbers: Tensor) -> Tensor:
        return torch.sigmoid(self.model(ids, numbers))


def plain_deepfm(spec: dict[str, Any], state: Mapping[str, Tensor], tables: Mapping[str, Tensor]) -> DeepFM:
    """The DeepFM of plain torch with a bundle's weights."""
    model = DeepFM(spec)
    weights = {f"tables.{i}.weight": tables[name] for i, name in enumerate(spec["categorical"])}
    weights |= {f"first.{i}.weight": tables[f"{name}:first"] for i, name in enumerate(spec["categorical"])}
    weights["vectors"] = torch.cat([tables[name] for name in spec["numeric"]])
    weights["weights"] = torch.cat([tables[f"{name}:first"] for name in spec["numeric"]]).squeeze(1)
    weights |= {name.replace("deep.", "mlp."): value for name, value in state.items() if name.startswith("deep.")}
    last = f"mlp.{2 * len(spec['model']['hidden'])}"
    model.load_state_dict(weights | {f"{last}.weight": state["head.vector.weight"], f"{last}.bias": state["head.bias"]})
    return model


def plain_din(sizes: dict[str, Any], state: Mapping[str, Tensor], tables: Mapping[str, Tensor]) -> DIN:
    """The DIN of plain torch with a bundle's weights."""
    model, weights = DIN(**sizes), {f"{side}.weight": tables[f"{side}_id"] for side in ("user", "item")}
    for name, value in state.items():
        if name.startswith("encoders."):  # first, then its Dice and further layers, then the last one
            _, _, part, rest = name.split(".", 3)
            place = {"first": 0, "last": 2 * len(ATTENTION)}.get(part)
            weights["attention." + (f"{place}.{rest}" if place is not None else _shifted(rest))] = value
        elif name.startswith("deep."):
            weights[name.replace("deep.", "mlp.")] = value
    last = f"mlp.{2 * len(HIDDEN)}"
    model.load_state_dict(weights | {f"{last}.weight": state["head.vector.weight"], f"{last}.bias": state["head.bias"]})
    return model


def _shifted(name: str) -> str:
    """The name of a weight one layer further on."""
    number, _, rest = name.partition(".")
    return f"{int(number) + 1}.{rest}"
