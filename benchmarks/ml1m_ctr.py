"""Click prediction on MovieLens-1M (the frozen task `ml1m_ctr`): models of sequences beside a mean-pooling twin.

`python benchmarks/ml1m_ctr.py [--seeds 1] [--only prepare] [--only din bst]`

Joins the task's rows with the user's history (items at positions before the row, the newest 200), user features and
movie features into parquet under `.data/ml1m_ctr`, then trains the configs in `configs/ml1m/`. Rows of models that ran
earlier on the same day stay in the result.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from record import ROOT, commit, save, saved, table

OUT = ROOT / ".data" / "ml1m_ctr"
CONFIGS = ("din", "din_pooled", "pooled_ids", "din_ids", "transact", "dmr", "bst", "dmin", "dien")
HISTORY = 200


def source() -> Path:
    """Folder that holds ml-1m/ and ml1m_ctr/."""
    folder = Path(os.environ.get("EASYREC_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "ml1m_ctr").exists():
        sys.exit(f"ml1m_ctr is not here ({folder}): set EASYREC_DATA to the folder that holds ml1m_ctr/ and ml-1m/")
    return folder


def prepare() -> None:
    """Write train, valid and test parquet with history, user and movie features."""
    if (OUT / "test.parquet").exists():
        return
    folder = source()
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
            "history__item_id": listed(steps),
            "history__genre_set": pa.ListArray.from_arrays(pa.array(offsets), pa.array(genres[steps].tolist())),
            "history__year": listed(years[steps]),
        }
        shuffled = pa.table(columns)
        if split == "train":
            shuffled = shuffled.take(np.random.default_rng(2026).permutation(len(rows)))
        pq.write_table(shuffled, OUT / f"{split}.parquet", row_group_size=32768, compression="lz4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(CONFIGS))
    args = parser.parse_args()
    prepare()
    if args.only == ["prepare"]:
        return
    import easyrec  # noqa: PLC0415 (preparing needs no torch)

    os.environ["EASYREC_ML1M"] = str(OUT)
    rows = {row["model"]: row for row in saved("ml1m_ctr").get("rows", [])}
    for name in args.only:
        results = []
        for seed in range(args.seeds):
            run = easyrec.train(
                ROOT / "configs" / "ml1m" / f"{name}.yaml",
                overrides={"name": f"ml1m-{name}-{seed}", "train.seed": 2026 + seed},
                overwrite=True,
            )
            results.append(run.metrics)
            print(name, seed, run.metrics, flush=True)
        mean = {s: statistics.mean(r[s]["auc"] for r in results) for s in ("valid", "test")}
        seconds = statistics.mean(r["seconds"] for r in results)
        rows[name] = {
            "model": name, "seeds": args.seeds, "valid AUC": mean["valid"], "test AUC": mean["test"], "seconds": seconds,
            "commit": commit(),
        }  # fmt: skip
        save("ml1m_ctr", {"rows": list(rows.values())})
    table(list(rows.values()))


if __name__ == "__main__":
    main()
