"""Candidates on MovieLens-1M by models of two towers: what a user watches next, and what of users and movies that are new.

`python benchmarks/two_tower.py [--only dssm bpr_mf ...] [--seeds 1] [--threads 2] [--page]`

Writes parquet under `.data/two_tower`, then trains the configs in `configs/two_tower/`, one row for each movie that a user
has rated. A user's last movie is the test, the one before it is valid and chooses the checkpoint; what the user had before
is not recommended, and every other movie is ranked. A tenth of the users and a tenth of the movies are left out of a
second training of the models in `COLD`, which are then asked for warm users and movies, for cold users, and for cold movies.
Finished runs are lines of `results/two_tower.jsonl`; `EASYREC_DEVICE=cuda` trains on a GPU.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from record import ROOT, data, device, fingerprint, finished, once, section, table

import easyrec
from easyrec.config import Experiment, load_experiment

OUT = ROOT / ".data" / "two_tower"
CONFIGS = ROOT / "configs" / "two_tower"
SEEDS = range(2026, 2031)
"""The first ones are taken."""
COLD = ("dropoutnet", "dssm", "dssm_ids")
"""Models that are also asked for what is new."""
HISTORY = 50
SHARE = 0.1
"""Of the users and of the movies that are left out."""
SHARED = 3
"""Movies that must share a word of a title."""
ASKED = ("cold users", "cold items", "cold items at 100")
TOLD = ("hit_rate@100", "recall@10", "ndcg@10", "coverage@10")


def names() -> list[str]:
    """The configs."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem != "two_tower")


def described() -> tuple[dict[int, tuple[Any, ...]], dict[int, tuple[list[str], list[str], int]]]:
    """Gender, age, occupation and zip of each user; genres, words of the title that others share, and year of each movie."""
    folder = data("ml-1m")
    movie_of = dict(np.loadtxt(folder / "item_map.txt", dtype=np.int64).tolist())
    account_of = dict(np.loadtxt(folder / "user_map.txt", dtype=np.int64).tolist())
    movies: dict[int, tuple[list[str], list[str], int]] = {}
    listed = [line.split("::") for line in (folder / "movies.dat").read_text(encoding="latin-1").splitlines()]
    words = {movie: sorted(set(re.findall(r"[^\W\d_]+", title.lower()))) for movie, title, _ in listed}
    counts = Counter(word for found in words.values() for word in found)
    for movie, title, genres in listed:
        year = re.search(r"\((\d{4})\)\s*$", title)
        shared = [word for word in words[movie] if counts[word] >= SHARED]
        movies[int(movie)] = (genres.split("|"), shared, int(year.group(1)) if year else 0)
    accounts: dict[int, tuple[Any, ...]] = {}
    for line in (folder / "users.dat").read_text().splitlines():
        account, gender, age, occupation, zip_code = line.split("::")
        accounts[int(account)] = (gender, int(age), int(occupation), zip_code[:2])
    return {u: accounts[a] for u, a in account_of.items()}, {i: movies[m] for i, m in movie_of.items()}


class Log:
    """Who has watched what, oldest first."""

    def __init__(self) -> None:
        self.users, self.movies = described()
        log = pq.read_table(data("ml-1m") / "sequences.parquet").to_pandas().sort_values(["user", "pos"])
        self.past = {int(user): items.to_numpy(np.int32) for user, items in log.groupby("user")["item"]}

    def write(self, path: Path, rows: list[tuple[int, np.ndarray, int]], *, asked: bool) -> None:
        """Rows of a user, what is known to have been watched, and the movie; of those that ask also what is spared."""
        about = [self.users[user] for user, _, _ in rows]
        columns = {
            "user_id": pa.array([user for user, _, _ in rows], pa.int32()),
            "gender": pa.array([a[0] for a in about]),
            "age": pa.array([a[1] for a in about], pa.int32()),
            "occupation": pa.array([a[2] for a in about], pa.int32()),
            "zip": pa.array([a[3] for a in about]),
            "history__item_id": lists([past[-HISTORY:] for _, past, _ in rows]),
            "item_id": pa.array([item for _, _, item in rows], pa.int32()),
        }
        if asked:
            columns["seen"] = lists([past for _, past, _ in rows])
        pq.write_table(pa.table(columns), path, row_group_size=32768, compression="lz4")

    def write_items(self, path: Path, items: np.ndarray) -> None:
        """The movies."""
        about = [self.movies[int(item)] for item in items]
        columns = {"item_id": pa.array(items), "genres": pa.array([genres for genres, _, _ in about])}
        columns["words"] = pa.array([words for _, words, _ in about], pa.list_(pa.string()))
        pq.write_table(pa.table({**columns, "year": pa.array([year for _, _, year in about])}), path)


def lists(parts: list[np.ndarray]) -> pa.Array:
    """One list per row."""
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(parts)))


def learned(past: dict[int, np.ndarray]) -> list[tuple[int, np.ndarray, int]]:
    """A row for each movie, with those before it, in an order by chance."""
    rows = [(user, items[:place], int(items[place])) for user, items in past.items() for place in range(len(items))]
    return [rows[row] for row in np.random.default_rng(2026).permutation(len(rows))]


def prepare() -> None:
    """Write what the models learn and are asked."""
    if (OUT / "cold" / "cold_items.parquet").exists():
        return
    log = Log()
    (OUT / "cold").mkdir(parents=True, exist_ok=True)
    past = {user: items for user, items in log.past.items() if len(items) >= 3}
    every = np.unique(np.concatenate(list(past.values())))
    log.write(OUT / "train.parquet", learned({user: items[:-2] for user, items in past.items()}), asked=False)
    for part, last in (("valid", -2), ("test", -1)):
        log.write(OUT / f"{part}.parquet", [(u, i[:last], int(i[last])) for u, i in past.items()], asked=True)
    log.write_items(OUT / "items.parquet", every)
    random = np.random.default_rng(2026)
    new_users = set(random.permutation(sorted(past))[: round(SHARE * len(past))].tolist())
    new_items = np.sort(random.permutation(every)[: round(SHARE * len(every))])
    warm, fresh = dict[int, np.ndarray](), dict[int, int]()
    for user, items in past.items():
        new = np.isin(items, new_items)
        if (~new).sum() >= 3:
            warm[user] = items[~new]
        if new.any():
            fresh[user] = int(np.flatnonzero(new)[-1])
    known = {user: items for user, items in warm.items() if user not in new_users}
    folder = OUT / "cold"
    log.write(folder / "train.parquet", learned({u: i[:-2] for u, i in known.items()}), asked=False)
    for part, last in (("valid", -2), ("test", -1)):
        log.write(folder / f"{part}.parquet", [(u, i[:last], int(i[last])) for u, i in known.items()], asked=True)
    strangers = [(user, items[:-1], int(items[-1])) for user, items in warm.items() if user in new_users]
    wanting = [(user, past[user][:at], int(past[user][at])) for user, at in fresh.items() if user in known]
    for name, rows in (("cold_users", strangers), ("to_cold_items", wanting)):
        for part, odd in (("tuned", 0), ("told", 1)):
            log.write(folder / f"{name}-{part}.parquet", [row for row in rows if row[0] % 2 == odd], asked=True)
    log.write_items(folder / "items.parquet", np.setdiff1d(every, new_items))
    log.write_items(folder / "cold_items.parquet", new_items)


def experiment(name: str, where: str = "") -> Experiment:
    """A config over the files of a folder."""
    os.environ["EASYREC_TWO_TOWER"] = str(OUT / where)
    return load_experiment(CONFIGS / f"{name}.yaml")


def key(name: str, where: str = "") -> str:
    """Fingerprint of a run."""
    found = experiment(name, where)
    loss = getattr(found.model, "loss", None)
    modules = [f"easyrec.losses.sampled.{'softmax' if loss is None else loss.type}"]
    modules += ["easyrec.models._matching", "easyrec.data.matching", "easyrec.data.samplers._shares"]
    modules += ["easyrec.retrieval.ranking", "easyrec.retrieval.metrics.__init__"]
    modules += [f"easyrec.data.samplers.{found.data.sampler.type}"] if found.data.sampler else []
    return where + fingerprint(found, modules)


def run(name: str, seed: int, threads: int, where: str = "") -> dict[str, Any]:
    """One training, or what it gave before."""
    found = key(name, where)  # names the folder too

    def train() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            settings = {**device(), "train.seed": seed, "train.threads": threads, "train.log_every": 1_000_000}
            options: dict[str, Any] = {"run_dir": Path(folder) / "run", "export": False, "progress": False}
            result = easyrec.train(CONFIGS / f"{name}.yaml", overrides=settings, **options)
            told = {f"{part}_{k}": round(v, 6) for part in ("valid", "test") for k, v in result.metrics[part].items()}
            told |= {"best_step": result.metrics["best_step"], "seconds": round(result.metrics["seconds"], 1)}
            return {**told, **(cold(result.path) if where else {})}

    return once("two_tower", found, seed, {"model": name, "part": where or "all"}, train)


def cold(trained: Path, part: str = "told") -> dict[str, Any]:
    """What a model that has not met a tenth of users and movies finds for and of them: of half of the rows.

    The rows of users with even numbers are for choosing keys, `tuned`.

    Recall at 100 of all movies it was trained with. Of cold movies ranked among themselves, at the same share of these, and
    at 100 as in the paper of DropoutNet; and at 100 among all movies, warm and cold.
    """
    folder = OUT / "cold"
    parts = {part: pq.read_table(folder / f"{part}.parquet") for part in ("items", "cold_items")}
    few = max(1, round(100 * len(parts["cold_items"]) / len(parts["items"])))

    def recall(rows: str, items: pa.Table, k: int) -> float:
        found = easyrec.evaluate(
            trained,
            data={"test": {"type": "parquet", "path": str(folder / f"{rows}.parquet")}, "items": items},
            overrides={"eval.retrieval.metrics": [{"type": "recall", "k": k}], "train.early_stop": None},
        )
        return round(found.metrics["test"][f"recall@{k}"], 6)

    every = pa.concat_tables(parts.values())
    return {
        "warm": recall("valid" if part == "tuned" else "test", parts["items"], 100),
        "cold users": recall(f"cold_users-{part}", parts["items"], 100),
        "cold items": recall(f"to_cold_items-{part}", parts["cold_items"], few),
        "cold items at 100": recall(f"to_cold_items-{part}", parts["cold_items"], 100),
        "warm of all": recall("valid" if part == "tuned" else "test", every, 100),
        "cold items of all": recall(f"to_cold_items-{part}", every, 100),
        "chance": round(100 / len(parts["items"]), 6),
        "chance at 100": round(100 / len(parts["cold_items"]), 6),
        "k of cold items": few,
    }


def rows(seeds: list[int]) -> list[dict[str, Any]]:
    """All that has run."""
    result = []
    for name in names():
        lines = finished("two_tower", key(name), seeds)
        if lines:
            told = {k: f"{statistics.mean(line[f'test_{k}'] for line in lines):.4f}" for k in TOLD}
            seconds = statistics.mean(line["seconds"] for line in lines)
            result.append({"config": name, "seeds": len(lines), **told, "minutes": f"{seconds / 60:.1f}"})
    return result


def cold_rows(seeds: list[int]) -> list[dict[str, Any]]:
    """What was found for and of those left out."""
    result = []
    for name in COLD:
        lines = finished("two_tower", key(name, "cold"), seeds)
        if lines:
            mean = {k: statistics.mean(line[k] for line in lines) for k in lines[0] if isinstance(lines[0][k], float)}
            told = {k: f"{mean[k]:.4f}" for k in ("warm", *ASKED, "cold items of all", "chance", "chance at 100")}
            kept = {f"{k} / warm": f"{mean[k] / mean['warm']:.2f}" for k in ASKED}
            result.append({"config": name, "seeds": len(lines), **told, **kept})
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=names(), choices=names(), metavar="CONFIG")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--page", action="store_true", help="write the tables into docs/benchmarks.md")
    args = parser.parse_args()
    prepare()
    seeds = list(SEEDS[: args.seeds])
    for name in args.only:
        for seed in seeds:
            run(name, seed, args.threads)
            if name in COLD:
                run(name, seed, args.threads, "cold")
    table(rows(seeds))
    table(cold_rows(seeds))
    if args.page:
        section("two_tower", rows(seeds))
        section("two_tower-cold", cold_rows(seeds))


if __name__ == "__main__":
    main()
