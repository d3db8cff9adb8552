"""A language model that was not trained puts a trained ranker's candidates in order: MovieLens-1M, the last movie of each user.

python benchmarks/llm_rerank.py --small 24                       # the small model that tests use, 24 users
python benchmarks/llm_rerank.py --url http://... --model M       # another one, --requests users
python benchmarks/llm_rerank.py --small 24 --how pairwise        # two at a time; or pointwise

The ranker is EASE (`configs/next_item/ease.yaml`), trained here; its best `--candidates` movies of a user, among which is the
one that he watched last, are put in order by titles and genres after those of the `--last` movies before. Measured are the
ranker, the model, chance and popularity on the same requests. Only users count whose last movie the ranker has among
its best: what is measured is the order alone.

A model of 135 million parameters loses to the ranker; this script shows what it costs to know, and takes a large one.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import next_item
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import record
from llm_pairs import small

import easyrec
from easyrec.llm.config import load_llm
from easyrec.llm.tools.rerank import Reranked, rerank

HOWS: dict[str, dict[str, Any]] = {
    "listwise": {"type": "listwise", "shuffles": 2},
    "once": {"type": "listwise", "shuffles": 1},
    "pairwise": {"type": "pairwise", "top": 3, "comparisons": 20},
    "pointwise": {"type": "pointwise", "logprobs": True},
}
"""`once` shows candidates in a single drawn order, without the same turned round."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="the address of a model, up to the version")
    parser.add_argument("--model", default="small")
    parser.add_argument("--key-env", help="the variable that holds its key")
    parser.add_argument("--small", type=int, metavar="N", help="the small model, for N users")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--last", type=int, default=10)
    parser.add_argument("--how", choices=sorted(HOWS), nargs="+", default=["listwise"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true")
    args = parser.parse_args()
    if not args.url and not args.small:
        sys.exit("name a model: --url, or --small N for the one that tests use")
    server: Any = None
    url, requests = args.url, args.requests
    if args.small:
        server, url = small()
        requests = args.small
    results = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        share = tables(folder, args.candidates, requests, args.seed)
        for how in args.how:
            model = {"base_url": url, "model": args.model, "key_env": args.key_env, "timeout_s": 600, "max_tokens": 400}
            config = {
                "model": {key: value for key, value in model.items() if value is not None},
                "rerank": {
                    "candidates": {
                        "path": str(folder / "candidates.parquet"),
                        "request": "user",
                        "user": "user",
                        "label": "label",
                        "time": "time",
                    },
                    "items": {"path": str(folder / "movies.parquet"), "text": "{title}, {genres}"},
                    "events": {
                        "path": str(folder / "events.parquet"),
                        "user": "user",
                        "time": "time",
                        "last": args.last,
                    },
                    "about": "Movies.",
                    "how": HOWS[how],
                    "output": str(folder / f"{how}.parquet"),
                    "at": [1, 5],
                    "max_failed": 1.0,
                    "seed": args.seed,
                },
            }
            done = rerank(*load_llm(config, "rerank"))
            print(f"\n{how}: {done.requests} requests, {dict(done.asked.kinds)}, {done.asked.seconds:.0f} s")
            results[how] = told(done)
            record.table(results[how]["rows"])
            print({key: one["mean"] if isinstance(one, dict) else one for key, one in done.bias.items()})
    del server
    print(f"\nof all users the ranker has {share:.3f} of the last movies among its {args.candidates} best")
    if args.save:
        about = {
            "model": args.model,
            "requests": requests,
            "candidates": args.candidates,
            "last": args.last,
            "share": share,
        }
        record.save("llm-rerank", {**about, "seed": args.seed, "results": results})


def tables(folder: Path, candidates: int, requests: int, seed: int) -> float:
    """Write candidates, movies and events; gives the share of users whose last movie is among the ranker's best."""
    source = next_item.prepare("ml-1m")
    os.environ["EASYREC_NEXT_ITEM"] = str(source)
    config = next_item.config("ml-1m", "ease")
    run = folder / "run"
    easyrec.train(config, run_dir=run, export=False, progress=False)
    test = pq.read_table(source / "test.parquet")
    test = test.append_column("user", pa.array(np.arange(len(test))))
    found = easyrec.retrieve(run, test, k=candidates, exclude="seen", overrides={"data.reserved": ["user"]})
    users, items, scores = (found[name].to_numpy() for name in ("user", "items", "scores"))
    wanted = test["item_id"].to_numpy()
    hit = np.array([wanted[user] in own for user, own in zip(users, items, strict=True)])
    chosen = np.flatnonzero(hit)
    chosen = chosen[np.random.default_rng(seed).permutation(len(chosen))[:requests]]
    rows = [
        {
            "user": int(users[row]),
            "item_id": int(item),
            "score": float(score),
            "label": float(item == wanted[users[row]]),
            "time": 1 << 30,
        }
        for row in chosen
        for item, score in zip(items[row], scores[row], strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "candidates.parquet")
    past = test["history__item_id"].combine_chunks()
    lengths = np.diff(past.offsets.to_numpy())
    events = {
        "user": np.repeat(np.arange(len(past)), lengths),
        "item_id": past.values.to_numpy(),
        "time": np.concatenate([np.arange(length) for length in lengths]),
    }
    pq.write_table(pa.table(events), folder / "events.parquet")
    data = record.data("ml-1m")
    movies = {}
    for line in (data / "movies.dat").read_text(encoding="latin-1").splitlines():
        movie, title, genres = line.split("::")
        movies[int(movie)] = (title, genres.replace("|", ", "))
    named = np.loadtxt(data / "item_map.txt", dtype=np.int64)
    titles, kinds = zip(*(movies[int(movie)] for movie in named[:, 1]), strict=True)
    pq.write_table(pa.table({"item_id": named[:, 0], "title": titles, "genres": kinds}), folder / "movies.parquet")
    return float(hit.mean())


def told(done: Reranked) -> dict[str, Any]:
    """The comparison as rows."""
    rows = []
    for system, own in (done.measures or {}).items():
        for key, one in own.items():
            more = (done.differences or {}).get(system, {}).get(key)
            row = {"system": system, "measure": key, "mean": one["mean"], "low": one["low"], "high": one["high"]}
            row |= (
                {}
                if more is None
                else {"model's more by": more["mean"], "from": more["low"], "to": more["high"], "p": more["p"]}
            )
            rows.append(row)
    return {
        "rows": rows,
        "requests": done.requests,
        "answers": dict(done.asked.kinds),
        "not_named": done.missing,
        "unknown": done.unknown,
        "tokens_per_request": {"in": done.tokens[0], "out": done.tokens[1]},
        "position_bias": dict(done.bias),
        "seconds": done.asked.seconds,
    }


if __name__ == "__main__":
    main()
