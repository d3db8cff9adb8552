"""Time of `transform` over rows, 1 thousand to 10 million: it should grow as they do.

The 20 features of `fg_throughput`, one thread; up to a million rows with all of them, beyond that without the sequence of
50 steps, whose outputs alone would take 4 GB. Rows are those of a million, again and again. Times are the CPU's in the
program; what the kernel spends on handing out and clearing fresh pages stands apart, for on a virtual machine it depends
on whether the host has the memory at hand.
"""

from __future__ import annotations

import argparse
import resource
import statistics

import pyarrow as pa
from fg_throughput import features, job
from record import save, table

from feature_generator import FeatureGenerator


def ns_per_row(generator: FeatureGenerator, batch: pa.RecordBatch, runs: int) -> tuple[float, float]:
    """CPU nanoseconds a row in the program and in the kernel, medians of `runs` after one that does not count.

    Short batches are repeated until the clock can tell.
    """
    times = max(1, 200_000 // batch.num_rows)
    found = []
    for _ in range(runs + 1):
        start = resource.getrusage(resource.RUSAGE_SELF)
        for _ in range(times):
            generator.transform(batch)
        end = resource.getrusage(resource.RUSAGE_SELF)
        rows = times * batch.num_rows
        found.append(((end.ru_utime - start.ru_utime) / rows * 1e9, (end.ru_stime - start.ru_stime) / rows * 1e9))
    program, kernel = zip(*found[1:], strict=True)
    return statistics.median(program), statistics.median(kernel)


def repeated(batch: pa.RecordBatch, times: int) -> pa.RecordBatch:
    """The rows of a batch, several times over."""
    columns = [pa.concat_arrays([column] * times) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=10_000_000, help="rows of the largest batch")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    base = min(options.most, 1_000_000)
    made = job(base)
    short = made.drop_columns(["seq"])
    whole = FeatureGenerator.load({"features": features()})
    without = FeatureGenerator.load({"features": [f for f in features() if f["name"] != "seq"]})
    results = []
    rows = 1000
    while rows <= options.most:
        batch = short.slice(0, rows) if rows <= base else repeated(short, rows // base)
        program, kernel = ns_per_row(without, batch, options.runs)
        result = {"rows": rows, "ns_per_row_without_sequence": program, "kernel_without_sequence": kernel}
        if rows <= base:
            result["ns_per_row"], result["kernel"] = ns_per_row(whole, made.slice(0, rows), options.runs)
        results.append(result)
        table(results)
        rows *= 10
    for key in ("ns_per_row", "ns_per_row_without_sequence"):
        figures = [result[key] for result in results if key in result]
        print(f"{key}: the dearest row costs {max(figures) / min(figures):.2f} times the cheapest")
    save("fg_linear", {"runs": options.runs, "sizes": results})


if __name__ == "__main__":
    main()
