"""SASRec in easyrec and in RecBole 1.2.1, MovieLens-1M, equal sizes: how soon ours has RecBole's best NDCG@10 on valid.

`python benchmarks/recbole.py [ours | theirs] [--minutes 120] [--gpu 0] [--batches 12] [--threads 2] [--page]`

RecBole learns each item of a history as a row of its own, of up to 50 items before it; ours learns all items of a window of
50 at once. Ours is timed by the clock, training and measuring of valid after every epoch. RecBole takes more than half an
hour an epoch on two cores: its epochs may run elsewhere (`--gpu`; kept under `.data/recbole`, they go on where `--minutes`
stopped them), and count by the seconds of a batch that `--batches` of them take here, evaluation left out. It runs in
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
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from next_item import CONFIGS, OUT, SEED, histories, prepare
from record import RESULTS, ROOT, data, digest, fingerprint, lines, once, section, table

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


def theirs(threads: int, minutes: float, batches: int, gpu: int) -> dict[str, Any]:
    """NDCG@10 of RecBole's epochs as far as they came, and the seconds of an epoch on this machine's processors."""
    KEPT.mkdir(parents=True, exist_ok=True)
    key = digest("recbole", [PEER])
    paths = {name: KEPT / f"theirs-{key}-{name}.json" for name in ("epochs", "time")}
    program = [ROOT / ".peers" / "recbole" / "bin" / "python", PEER, data("ml-1m").parent]
    options = {"epochs": ["--minutes", minutes, "--gpu", gpu], "time": ["--batches", batches]}
    for name in ("time", "epochs"):
        ended = paths[name].exists() and (name == "time" or "test_ndcg@10" in json.loads(paths[name].read_text()))
        if not ended:
            command = [*program, paths[name], "--threads", threads, *options[name]]
            subprocess.run([str(word) for word in command], check=True)
    epochs, timed = (json.loads(paths[name].read_text()) for name in ("epochs", "time"))
    seconds = timed["batches_per_epoch"] * timed["seconds_per_batch"]
    valid = [round(epoch["ndcg@10"], 6) for epoch in epochs["epochs"]]
    line = {"library": "RecBole 1.2.1", "seed": SEED, "fingerprint": key, "threads": str(threads), "valid": valid}
    line |= {"epochs_on": epochs["device"], "seconds_per_epoch": round(seconds, 1), "date": date.today().isoformat()}
    line |= {name: epochs[name] for name in ("test_ndcg@10", "test_recall@10") if name in epochs}
    others = [other for other in lines("recbole") if other["fingerprint"] != key]
    (RESULTS / "recbole.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (*others, line)))
    return line


def rows() -> list[dict[str, str]]:
    """Both libraries: their best, and when they had what RecBole had at its best."""
    runs = []
    for line in lines("recbole"):
        epochs = line.get("epochs") or [
            {"ndcg@10": value, "seconds": number * line["seconds_per_epoch"]}
            for number, value in enumerate(line["valid"], 1)
        ]
        runs.append((line, epochs))
    goal = max((e["ndcg@10"] for line, epochs in runs if "valid" in line for e in epochs), default=0.0)
    result = []
    for line, epochs in runs:
        best = max(epoch["ndcg@10"] for epoch in epochs)
        there = next((e["seconds"] for e in epochs if e["ndcg@10"] >= goal), None)
        cells = {"epochs": str(len(epochs)), "best valid NDCG@10": f"{best:.4f}"}
        cells |= {"minutes to RecBole's best": "" if there is None else f"{there / 60:.1f}"}
        cells |= {"minutes in all": f"{epochs[-1]['seconds'] / 60:.0f}"}
        cells |= {"test NDCG@10": f"{line['test_ndcg@10']:.4f}" if "test_ndcg@10" in line else "not ended"}
        result.append({"library": line["library"], **cells})
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=["ours", "theirs", []], default=[])
    parser.add_argument("--minutes", type=float, default=120, help="RecBole begins no epoch after so many")
    parser.add_argument("--batches", type=int, default=12, help="of RecBole, by which its epochs are timed")
    parser.add_argument("--gpu", type=int, default=-1, help="of RecBole's epochs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--page", action="store_true", help="write the table into docs/benchmarks.md")
    args = parser.parse_args()
    if "ours" in args.what:
        ours(args.threads)
    if "theirs" in args.what:
        theirs(args.threads, args.minutes, args.batches, args.gpu)
    table(rows())
    if args.page:
        section("recbole", rows())


if __name__ == "__main__":
    main()
