"""SASRec in easyrec and in RecBole 1.2.1, MovieLens-1M, equal sizes: how soon ours has RecBole's best NDCG@10 on valid.

`python benchmarks/recbole.py [ours | theirs | both] [--minutes 120] [--threads 2] [--page]`

RecBole learns each item of a history as a row of its own, of up to 50 items before it; ours learns all items of a window of
50 at once. Time is of the clock, of training and measuring valid after every epoch. RecBole takes days on two cores: its run
is kept under `.data/recbole` and goes on where `--minutes` stopped it; what it has reached by then is what counts. It runs in
the environment `.peers/recbole` (torch of our version, and what `peers/recbole_sasrec.py` names).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from next_item import CONFIGS, OUT, SEED, histories, prepare
from record import ROOT, data, digest, fingerprint, once, save, section, table

import easyrec
from easyrec.config import load_experiment

CONFIG = CONFIGS / "recbole" / "sasrec.yaml"
LENGTH = 50
PEER = Path(__file__).parent / "peers" / "recbole_sasrec.py"
KEPT = ROOT / ".data" / "recbole"


def windows() -> Path:
    """The training histories cut into windows, each with the item before it; valid and test as they are."""
    whole, folder = prepare("ml-1m"), OUT / "ml-1m-windows"
    if (folder / "train.parquet").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    known = (items[:-2].tolist() for items in histories("ml-1m") if len(items) >= 3)
    rows = [items[max(0, end - LENGTH) : end] for items in known for end in range(len(items), 1, 1 - LENGTH)]
    rows = [rows[row] for row in np.random.default_rng(SEED).permutation(len(rows))]
    for part in ("valid", "test"):
        shutil.copyfile(whole / f"{part}.parquet", folder / f"{part}.parquet")
    shutil.copyfile(whole / "items.parquet", folder / "items.parquet")
    pq.write_table(pa.table({"history__item_id": pa.array(rows, pa.list_(pa.int64()))}), folder / "train.parquet")
    return folder


def ours(threads: int) -> dict[str, Any]:
    """Seconds and NDCG@10 of every epoch, or what they were before."""
    os.environ["EASYREC_NEXT_ITEM"] = str(windows())
    key = fingerprint(load_experiment(CONFIG), ["easyrec.losses.sampled.softmax", "easyrec.models._matching"])

    def run() -> dict[str, Any]:
        folder, epochs = KEPT / "ours", list[dict[str, float]]()
        shutil.rmtree(folder, ignore_errors=True)
        began, ended = time.perf_counter(), threading.Event()

        def watch() -> None:
            while not ended.wait(0.2):
                path = folder / "metrics.jsonl"
                text = path.read_text() if path.exists() else ""
                for line in text[: text.rfind("\n") + 1].splitlines()[len(epochs) :]:
                    seconds = round(time.perf_counter() - began, 1)
                    epochs.append({"ndcg@10": json.loads(line)["valid"]["ndcg@10"], "seconds": seconds})

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            settings = {"train.seed": SEED, "train.threads": threads}
            told = easyrec.train(CONFIG, overrides=settings, run_dir=folder, export=False).metrics
        finally:
            ended.set()
            watcher.join()
        return {"epochs": epochs, "test_ndcg@10": told["test"]["ndcg@10"], "test_recall@10": told["test"]["recall@10"]}

    return once("recbole", key, SEED, {"library": "easyrec", "threads": str(threads)}, run)


def theirs(threads: int, minutes: float) -> dict[str, Any]:
    """The same of RecBole as far as it came; with `test_ndcg@10` where it has ended by its own early stop."""
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"theirs-{digest('recbole', [PEER])}.json"
    if minutes and "test_ndcg@10" not in (json.loads(path.read_text()) if path.exists() else {}):
        command = [ROOT / ".peers" / "recbole" / "bin" / "python", PEER, data("ml-1m").parent, path]
        subprocess.run([str(w) for w in (*command, "--threads", threads, "--minutes", minutes)], check=True)
    result: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"epochs": []}
    return result


def rows(us: dict[str, Any], them: dict[str, Any]) -> list[dict[str, str]]:
    """Both libraries: their best, and when they had what RecBole had at its best."""
    goal = max((epoch["ndcg@10"] for epoch in them["epochs"]), default=0.0)
    result = []
    for name, run in (("easyrec", us), ("RecBole 1.2.1", them)):
        best = max((epoch["ndcg@10"] for epoch in run["epochs"]), default=0.0)
        there = next((e["seconds"] for e in run["epochs"] if e["ndcg@10"] >= goal), None)
        cells = {"epochs": str(len(run["epochs"])), "best valid NDCG@10": f"{best:.4f}"}
        cells |= {"minutes to RecBole's best": "" if there is None else f"{there / 60:.1f}"}
        cells |= {"test NDCG@10": f"{run['test_ndcg@10']:.4f}" if "test_ndcg@10" in run else "not ended"}
        result.append({"library": name, **cells})
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["ours", "theirs", "both"], default="both")
    parser.add_argument("--minutes", type=float, default=120, help="RecBole begins no epoch after so many")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--page", action="store_true", help="write the table into docs/benchmarks.md")
    args = parser.parse_args()
    them = theirs(args.threads, args.minutes if args.what != "ours" else 0)
    us = ours(args.threads) if args.what != "theirs" else {"epochs": []}
    table(rows(us, them))
    if args.what == "both":
        save("recbole", {"threads": args.threads, "easyrec": us, "recbole": them})
    if args.page:
        section("recbole", rows(us, them))


if __name__ == "__main__":
    main()
