"""Click prediction on MovieLens-1M (the frozen task `ml1m_ctr`): models of sequences beside a mean-pooling twin.

`python benchmarks/ml1m_ctr.py [--seeds 1] [--only prepare] [--only din bst twin_ids] [--peers DIN TWIN] [--epochs 12]`

Joins the task's rows with the user's history (items at positions before the row, the newest 200), user features and
movie features into parquet under `.data/ml1m_ctr`, then trains the configs in `configs/ml1m/`. A name that ends in
`_ids` and has no config is the model before it with the features of `ids.yaml`: item ids alone, as FuxiCTR's models get
them. `--peers` trains these (on `--gpu 0`, say) and ours for as many epochs, each with its best on valid. Finished runs are lines of
`results/ml1m_ctr.jsonl`, as in `frappe.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from record import ROOT, data, digest, fingerprint, finished, once, section, table, trained, versus
from train_throughput import peers_python

from easyrec.config import load_experiment

OUT = ROOT / ".data" / "ml1m_ctr"
CONFIGS = ROOT / "configs" / "ml1m"
FULL = (
    "din",
    "din_pooled",
    "sim",
    "sim_soft",
    "eta",
    "sdim",
    "twin",
    "transact",
    "dmr",
    "bst",
    "dmin",
    "dien",
    "dlrm_hstu",
    "multi_window_din",
    "multi_tower_din",
    "cmbf",
    "cdn",
)
IDS = ("pooled_ids", "din_ids", "sim_soft_ids", "eta_ids", "sdim_ids", "twin_ids", "transact_ids", "dien_ids")
PEERS = {
    "DIN": "din_ids",
    "SIM": "sim_soft_ids",
    "ETA": "eta_ids",
    "SDIM": "sdim_ids",
    "TWIN": "twin_ids",
    "TransAct": "transact_ids",
    "DIEN": "dien_ids",
}
"""Models of FuxiCTR, and ours of the same name."""
SCRIPT = ROOT / "benchmarks" / "peers" / "fuxictr_ml1m.py"
SEEDS = range(2026, 2036)
"""The first ones are taken."""
EPOCHS = 12
FEWER_EPOCHS = {"DIEN": 7}
"""Of both, where FuxiCTR's takes too long."""
HISTORY = 200


def prepare() -> None:
    """Write train, valid and test parquet with history, user and movie features."""
    last = OUT / "test.parquet"
    if last.exists() and "log_count" in pq.read_schema(last).names:
        return
    data("ml1m_ctr")
    folder = data("ml-1m").parent
    OUT.mkdir(parents=True, exist_ok=True)
    log = pq.read_table(folder / "ml-1m" / "sequences.parquet").to_pandas().sort_values(["user", "pos"])
    movie_of = dict(np.loadtxt(folder / "ml-1m" / "item_map.txt", dtype=np.int64))
    account_of = dict(np.loadtxt(folder / "ml-1m" / "user_map.txt", dtype=np.int64))
    movies: dict[int, tuple[str, int]] = {}
    for line in (folder / "ml-1m" / "movies.dat").read_text(encoding="latin-1").splitlines():
        movie, title, genres = line.split("::")
        year = re.search(r"\((\d{4})\)\s*$", title)
        movies[int(movie)] = (genres, int(year.group(1)) if year else 0)
    users = {}
    for line in (folder / "ml-1m" / "users.dat").read_text().splitlines():
        user, gender, age, occupation, zip_code = line.split("::")
        users[int(user)] = (gender, int(age), int(occupation), zip_code[:2])
    size = int(log["item"].max()) + 1
    genres = np.array([movies[movie_of[i]][0] if i in movie_of else "" for i in range(size)], dtype=object)
    years = np.array([movies[movie_of[i]][1] if i in movie_of else 0 for i in range(size)], dtype=np.int32)
    items, starts = log["item"].to_numpy(np.int32), {}
    for row, (user, position) in enumerate(zip(log["user"], log["pos"], strict=True)):
        if user not in starts:
            starts[user] = row - position
    watched = pq.read_table(folder / "ml1m_ctr" / "train.parquet", filters=[("label", "==", 1)])["item"].to_numpy()
    counts = np.bincount(watched, minlength=size).astype(np.float32)
    for split in ("train", "valid", "test"):
        rows = pq.read_table(folder / "ml1m_ctr" / f"{split}.parquet").to_pandas()
        ends = np.array([starts[u] + p for u, p in zip(rows["user"], rows["pos"], strict=True)])
        lengths = np.minimum(rows["pos"].to_numpy(), HISTORY)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        index = np.concatenate([np.arange(e - n, e) for e, n in zip(ends, lengths, strict=True)])
        steps = items[index]
        about = [users[account_of[u]] for u in rows["user"]]
        item = rows["item"].to_numpy()

        def listed(values: np.ndarray, offsets: np.ndarray = offsets) -> pa.Array:
            return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))

        columns = {
            "label": pa.array(rows["label"].to_numpy(np.float32)),
            "user_id": pa.array(rows["user"].to_numpy()),
            "gender": pa.array([a[0] for a in about]),
            "age": pa.array([a[1] for a in about]),
            "occupation": pa.array([a[2] for a in about]),
            "zip": pa.array([a[3] for a in about]),
            "history_length": pa.array(rows["pos"].to_numpy()),
            "item_id": pa.array(item),
            "genres": pa.array([g.split("|") for g in genres[item]]),
            "genre_set": pa.array(genres[item].tolist()),
            "year": pa.array(years[item]),
            "log_count": pa.array(np.log1p(counts[item])),
            "history__item_id": listed(steps),
            "history__genre_set": pa.ListArray.from_arrays(pa.array(offsets), pa.array(genres[steps].tolist())),
            "history__year": listed(years[steps]),
        }
        shuffled = pa.table(columns)
        if split == "train":
            shuffled = shuffled.take(np.random.default_rng(2026).permutation(len(rows)))
        pq.write_table(shuffled, OUT / f"{split}.parquet", row_group_size=32768, compression="lz4")


def overrides(name: str, epochs: int | None = None) -> tuple[str, dict[str, Any]]:
    """Config of a model, and what is laid over it."""
    fewer = {} if epochs is None else {"train.epochs": epochs}
    if (CONFIGS / f"{name}.yaml").exists():
        return name, fewer
    features = yaml.safe_load((CONFIGS / "ids.yaml").read_text())["features"]
    return name.removesuffix("_ids"), {"features": features, "model.groups.deep.features": ["item_id"]} | fewer


def key(name: str, epochs: int | None = None) -> str:
    """Fingerprint of a model of ours."""
    os.environ["EASYREC_ML1M"] = str(OUT)
    config, laid = overrides(name, epochs)
    return fingerprint(load_experiment(CONFIGS / f"{config}.yaml", laid))


def peer_key(name: str, epochs: int = EPOCHS) -> str:
    """Fingerprint of a model of FuxiCTR."""
    return digest(f"{name} {epochs}", [SCRIPT])


def ours(name: str, seed: int, epochs: int | None = None) -> dict[str, Any]:
    """AUC of a model, trained where there is no line of it."""

    def run() -> dict[str, Any]:
        config, laid = overrides(name, epochs)
        result = trained(CONFIGS / f"{config}.yaml", laid, seed, ("auc", "gauc"), key(name, epochs))
        print(name, seed, result, flush=True)
        return result

    about = {"model": name} if epochs is None else {"model": name, "epochs": epochs}
    return once("ml1m_ctr", key(name, epochs), seed, about, run)


def theirs(name: str, seed: int, epochs: int, gpu: int = -1) -> dict[str, Any]:
    """AUC of FuxiCTR's model, on the processor or a GPU."""

    def run() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out.json"
            command = [str(peers_python()), str(SCRIPT), name, str(data("ml1m_ctr").parent), str(out)]
            command += ["--epochs", str(epochs), "--seed", str(seed), "--gpu", str(gpu)]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{SCRIPT.name} {name} failed:\n{done.stderr[-4000:]}")
            found = json.loads(out.read_text())
        print(f"FuxiCTR {name}", seed, found, flush=True)
        return {"test_auc": round(found["auc"], 6), "seconds": round(found["seconds"], 1), "epochs": epochs}

    about = {"model": f"FuxiCTR {name}", "device": "cpu" if gpu < 0 else "gpu"}
    return once("ml1m_ctr", peer_key(name, epochs), seed, about, run)


def rows(runs: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Means over the runs of each model that has any."""
    shown = {"valid_auc": "valid AUC", "test_auc": "test AUC", "test_gauc": "test GAUC"}
    result: list[dict[str, Any]] = []
    for name, found in runs.items():
        if found:
            mean = {k: statistics.mean(run[k] for run in found) for k in (*shown, "seconds") if k in found[0]}
            told = {title: f"{mean[k]:.5f}" for k, title in shown.items() if k in mean}
            result.append({"model": name, "seeds": len(found), **told, "seconds": round(mean["seconds"])})
    return result


def kept_rows() -> list[dict[str, Any]]:
    """Everything that has run."""
    epochs = {PEERS[peer]: most for peer, most in FEWER_EPOCHS.items()}
    return rows({name: finished("ml1m_ctr", key(name, epochs.get(name)), SEEDS) for name in (*FULL, *IDS)})


def budget(peer: str, most: int = EPOCHS) -> int:
    """Epochs of a model of FuxiCTR and of ours."""
    return min(most, FEWER_EPOCHS.get(peer, most))


def beside(most: int = EPOCHS) -> list[dict[str, Any]]:
    """Test AUC beside FuxiCTR's models, of the seeds that both have."""
    rows: list[dict[str, Any]] = []
    for peer, name in PEERS.items():
        epochs = budget(peer, most)
        ours_ = finished("ml1m_ctr", key(name, epochs), SEEDS)
        cells = versus(ours_, finished("ml1m_ctr", peer_key(peer, epochs), SEEDS))
        rows += [{"model": peer, "epochs": epochs, **cells}] if cells else []
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[*FULL, *IDS])
    parser.add_argument("--peers", nargs="*", default=[], choices=PEERS, help="ours and FuxiCTR's, both for --epochs")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="at most as many beside the peers")
    parser.add_argument("--gpu", type=int, default=-1, help="GPU of the peers; -1: the processor")
    parser.add_argument("--page", action="store_true", help="write all that has run into docs/benchmarks.md")
    args = parser.parse_args()
    prepare()
    if args.only == ["prepare"]:
        return
    seeds = SEEDS[: args.seeds]
    runs = {name: [ours(name, seed) for seed in seeds] for name in args.only}
    table(rows(runs))
    for peer in args.peers:
        for seed in seeds:
            ours(PEERS[peer], seed, budget(peer, args.epochs))
            theirs(peer, seed, budget(peer, args.epochs), args.gpu)
    table(beside(args.epochs))
    if args.page:
        section("ml1m_ctr", kept_rows())
        section("ml1m_ctr-peers", beside())


if __name__ == "__main__":
    main()
