"""Feature generation: 20 features over Arrow columns, ours beside polars, pyarrow.compute and pandas.

The job: 10 ids hashed (5 text, 5 whole numbers), 4 numbers into buckets, 3 crosses of two columns hashed, 2 texts of
several values and one text of 50 steps split and hashed. Per-core figures divide rows by the CPU time of the process,
all threads counted; the others use their own hash, which is faster than ours or as fast. `speed-up` is wall time on
one thread over wall time on two, in turn, best of each; beside it stands what two threads of plain hashing get here,
since a busy or shared machine has no second core to give.

The second job (`fg_wide_job`) adds a lookup, a match, an expression, an overlap, two crosses and a sequence with three
children. The two-step request is one user with 1,000 steps, and 500 items computed ahead.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fg_wide_job
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from record import interleave, save, table

from feature_generator import FeatureGenerator

SEP = "\x1d"
EDGES = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
IDS, CROSSES, TAGS = 1_000_000, 1_000_000, 100_000
CROSSED = [("s0", "n0"), ("s1", "s2"), ("s3", "n1")]


def job(rows: int, seed: int = 0) -> pa.RecordBatch:
    """Columns s0..s4, seq (user side) and n0..n4, x0..x3, m0..m1 (item side)."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for i in range(5):
        ids = np.minimum(rng.zipf(1.2, rows), 1_000_000)
        columns[f"s{i}"] = [
            f"{letter}_{number}" for letter, number in zip(rng.choice(list("abcdef"), rows), ids, strict=True)
        ]
        columns[f"n{i}"] = rng.integers(0, 10_000_000, rows)
    for i in range(4):
        columns[f"x{i}"] = rng.lognormal(size=rows)
    for i in range(2):
        tags = np.minimum(rng.zipf(1.2, (rows, 5)), 5000)
        counts = rng.integers(1, 6, rows)
        columns[f"m{i}"] = [SEP.join(f"tag{t}" for t in row[:n]) for row, n in zip(tags, counts, strict=True)]
    columns["seq"] = [";".join(map(str, row)) for row in rng.integers(0, 1_000_000, (rows, 50))]
    return pa.RecordBatch.from_pydict({name: pa.array(values) for name, values in columns.items()})


def features() -> list[dict[str, Any]]:
    """Our 20 features."""
    side = {"s": "user", "n": "item"}
    made: list[dict[str, Any]] = [
        {"type": "id", "name": c, "expression": f"{side[c[0]]}:{c}", "hash_bucket_size": IDS}
        for c in [f"{kind}{i}" for kind in "sn" for i in range(5)]
    ]
    made += [{"type": "raw", "name": f"x{i}", "expression": f"item:x{i}", "boundaries": EDGES} for i in range(4)]
    made += [
        {
            "type": "combo",
            "name": f"{a}_{b}",
            "expression": [f"{side[a[0]]}:{a}", f"{side[b[0]]}:{b}"],
            "hash_bucket_size": CROSSES,
        }
        for a, b in CROSSED
    ]
    made += [{"type": "id", "name": f"m{i}", "expression": f"item:m{i}", "hash_bucket_size": TAGS} for i in range(2)]
    made += [{"type": "id", "name": "seq", "expression": "user:seq", "hash_bucket_size": IDS, "sequence_length": 50}]
    return made


def polars_job() -> list[pl.Expr]:
    """The same features as polars expressions, with polars' own hash."""

    def ids(expression: pl.Expr, buckets: int) -> pl.Expr:
        return expression.hash() % buckets

    parts = [ids(pl.col(f"{kind}{i}"), IDS) for kind in "sn" for i in range(5)]
    parts += [pl.lit(pl.Series(EDGES)).search_sorted(pl.col(f"x{i}"), side="right").alias(f"x{i}") for i in range(4)]
    parts += [ids(pl.concat_str(a, b, separator="_"), CROSSES).alias(f"{a}_{b}") for a, b in CROSSED]
    parts += [pl.col(f"m{i}").str.split(SEP).list.eval(ids(pl.element(), TAGS)) for i in range(2)]
    return [*parts, pl.col("seq").str.split(";").list.eval(ids(pl.element(), IDS))]


def arrow_job(batch: pa.RecordBatch) -> list[Any]:
    """The same with pyarrow.compute; it has no hash, so distinct values are hashed by pandas and spread by index."""

    def ids(values: Any, buckets: int) -> np.ndarray:
        coded = pc.dictionary_encode(values)
        distinct = coded.dictionary.to_numpy(zero_copy_only=False)
        hashed = pd.util.hash_array(distinct, categorize=False) % np.uint64(buckets)
        return hashed.take(coded.indices.to_numpy())

    def lists(values: Any, separator: str, buckets: int) -> tuple[np.ndarray, np.ndarray]:
        split = pc.split_pattern(values, separator)
        return ids(split.flatten(), buckets), split.offsets.to_numpy()

    out: list[Any] = [ids(batch.column(f"{kind}{i}"), IDS) for kind in "sn" for i in range(5)]
    out += [np.searchsorted(EDGES, batch.column(f"x{i}").to_numpy(), side="right") for i in range(4)]
    for a, b in CROSSED:
        texts = [pc.cast(batch.column(name), pa.string()) for name in (a, b)]
        out.append(ids(pc.binary_join_element_wise(*texts, "_"), CROSSES))
    out += [lists(batch.column(f"m{i}"), SEP, TAGS) for i in range(2)]
    return [*out, lists(batch.column("seq"), ";", IDS)]


def pandas_job(frame: pd.DataFrame) -> list[Any]:
    """The same as pandas is usually written."""

    def ids(values: pd.Series, buckets: int) -> np.ndarray:
        return pd.util.hash_array(values.to_numpy(dtype=object), categorize=True) % np.uint64(buckets)

    out: list[Any] = [ids(frame[f"{kind}{i}"].astype(str), IDS) for kind in "sn" for i in range(5)]
    out += [np.digitize(frame[f"x{i}"], EDGES) for i in range(4)]
    out += [ids(frame[a].astype(str) + "_" + frame[b].astype(str), CROSSES) for a, b in CROSSED]
    out += [ids(frame[f"m{i}"].str.split(SEP).explode(), TAGS) for i in range(2)]
    return [*out, ids(frame["seq"].str.split(";").explode(), IDS)]


def timed(work: Callable[[], Any], rows: int) -> Callable[[], dict[str, float]]:
    """One run: thousand rows per CPU second, and wall milliseconds."""

    def run() -> dict[str, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        del result
        return {"k_rows_per_core_s": rows / cpu / 1e3, "wall_ms": wall * 1e3, "cpu_ms": cpu * 1e3}

    return run


def speed_up(one: Callable[[], Any], two: Callable[[], Any], rounds: int) -> float:
    """Best wall time of `one` over the best of `two`, run in turn."""
    walls: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, times in zip((one, two), walls, strict=True):
            start = time.perf_counter()
            result = work()
            times.append(time.perf_counter() - start)
            del result
    return min(walls[0]) / min(walls[1])


def machine_speed_up(rounds: int) -> float:
    """What a second thread brings to work that shares nothing: SHA-256 of two blocks."""
    block = bytes(64 << 20)

    def both() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(hashlib.sha256, [block, block]))

    return speed_up(lambda: (hashlib.sha256(block), hashlib.sha256(block)), both, rounds)


def request_ms(work: Callable[[], Any], times: int) -> float:
    """CPU milliseconds of one request, median of five rounds."""
    rounds = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - start) / times * 1e3)
    return statistics.median(rounds)


def second_job(first: pa.RecordBatch, runs: int) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """The second job beside polars, and the two-step request; CPU milliseconds of the latter."""
    made = pa.RecordBatch.from_pydict(fg_wide_job.columns(first.num_rows))
    batch = pa.RecordBatch.from_arrays([*first.columns, *made.columns], [*first.schema.names, *made.schema.names])
    ours = FeatureGenerator.load({"features": [*features(), *fg_wide_job.features()]})
    frame, expressions = pl.from_arrow(batch), [*polars_job(), *fg_wide_job.polars_rows()]

    def theirs() -> Any:
        return frame.select(expressions), fg_wide_job.polars_steps(frame)

    contestants = {
        "second job, ours, 1 thread": timed(lambda: ours.transform(batch), batch.num_rows),
        "second job, polars": timed(theirs, batch.num_rows),
    }
    same_numbers(ours.transform(batch.slice(0, 1000)), pl.from_arrow(batch.slice(0, 1000)).select(expressions))
    for run in contestants.values():
        run()
    figures = interleave(contestants, runs)
    user, items = request_of(batch, ours)
    request, ahead = ours.request(user), ours.items(items)
    steps = {
        "request side, 1 user with 1,000 steps": request_ms(lambda: ours.request(user), 1000),
        "cross features of 500 items computed ahead": request_ms(lambda: request.score_items(ahead), 1000),
        "items that are not, all their features": request_ms(lambda: request.score_items(items), 500),
    }
    ratio = (
        figures["second job, ours, 1 thread"]["k_rows_per_core_s"] / figures["second job, polars"]["k_rows_per_core_s"]
    )
    table([{"engine": name, **{k: round(v, 1) for k, v in f.items()}} for name, f in figures.items()])
    table([{"request in two steps": name, "cpu_ms": round(ms, 3)} for name, ms in steps.items()])
    print(f"second job, over polars per core: {ratio:.2f}")
    return {**figures, "over polars per core": {"value": ratio}}, steps


def same_numbers(ours: Any, theirs: pl.DataFrame) -> None:
    """Both engines made the same numbers."""
    for name in ("lookup", "match", "expr", "overlap"):
        np.testing.assert_allclose(ours[name].values[:, 0], theirs[name].to_numpy(), rtol=1e-5, atol=1e-6)


def request_of(batch: pa.RecordBatch, ours: FeatureGenerator) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """A user whose sequences have 1,000 steps, and 500 items."""
    row = {name: batch.column(name).slice(0, 1) for name in ours.needs("user")}
    for name in ours.needs("user"):
        if name.startswith("clicks__") or name == "seq":
            row[name] = pa.array([";".join(batch.column(name).slice(0, 20).to_pylist())])
    return pa.RecordBatch.from_pydict(row), batch.slice(0, 500).select(ours.needs("item"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    batch, ours = job(options.rows), FeatureGenerator.load({"features": features()})
    small = batch.slice(0, max(1, options.rows // 10))
    frame, polars_frame, expressions = small.to_pandas(), pl.from_arrow(batch), polars_job()
    contestants = {
        "ours, 1 thread": timed(lambda: ours.transform(batch), batch.num_rows),
        "ours, 2 threads": timed(lambda: ours.transform(batch, threads=2), batch.num_rows),
        "polars": timed(lambda: polars_frame.select(expressions), batch.num_rows),
        "pyarrow.compute": timed(lambda: arrow_job(batch), batch.num_rows),
        "pandas (a tenth of the rows)": timed(lambda: pandas_job(frame), small.num_rows),
    }
    for run in contestants.values():  # once unmeasured: allocators and caches settle
        run()
    figures = interleave(contestants, options.runs)
    wide, two_steps = second_job(batch, options.runs)

    user = batch.slice(0, 1).select([name for name, side in ours.inputs.items() if side == "user"])
    items = batch.slice(0, 200).select([name for name, side in ours.inputs.items() if side == "item"])
    rows = batch.slice(0, 200)
    requests = {
        "ours, 1 user + 200 items": request_ms(lambda: ours.request(user).score_items(items, tile=True), 1000),
        "ours, 200 flat rows": request_ms(lambda: ours.transform(rows), 1000),
        "polars, 200 flat rows from Arrow": request_ms(lambda: pl.from_arrow(rows).select(expressions), 100),
        "pyarrow.compute, 200 flat rows": request_ms(lambda: arrow_job(rows), 50),
    }
    one, two = figures["ours, 1 thread"], figures["ours, 2 threads"]
    ratios = {
        "over polars per core": one["k_rows_per_core_s"] / figures["polars"]["k_rows_per_core_s"],
        "over pyarrow per core": one["k_rows_per_core_s"] / figures["pyarrow.compute"]["k_rows_per_core_s"],
        "speed-up of the second thread": speed_up(
            lambda: ours.transform(batch), lambda: ours.transform(batch, threads=2), 6 * options.runs
        ),
        "speed-up of plain hashing here": machine_speed_up(2 * options.runs),
        "CPU of two threads over one": two["cpu_ms"] / one["cpu_ms"],
    }
    table([{"engine": name, **{k: round(v, 1) for k, v in f.items()}} for name, f in figures.items()])
    table([{"request": name, "cpu_ms": round(ms, 3)} for name, ms in requests.items()])
    table([{"ratio": name, "value": round(value, 2)} for name, value in ratios.items()])
    save(
        "fg_throughput",
        {"rows": options.rows, "runs": options.runs, "engines": figures, "request_cpu_ms": requests, "ratios": ratios}
        | {"second_job": wide, "two_step_request_cpu_ms": two_steps}
        | {"versions": {"polars": pl.__version__, "pyarrow": pa.__version__, "pandas": pd.__version__}},
    )


if __name__ == "__main__":
    main()
