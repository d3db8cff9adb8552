"""Write the features of all rows into one parquet file, for training with data.fg: encoded.

easyrec fg run -c config.yaml --input rows.parquet --output encoded.parquet
easyrec fg run -c config.yaml --part valid --output valid.parquet --bad-rows skip
easyrec fg run -c config.yaml --input days/ --output encoded --queue work
easyrec fg run -c config.yaml --input days/ --output encoded --engine ray
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pyarrow as pa

from easyrec.commands._features import Features, add_rows, features
from easyrec.commands._options import add_engine, add_experiment, add_queue, engine_of, positive, queue_of
from easyrec.commands._print import add_spread, bar, console, count, line, log, size, table
from easyrec.data.encoded_parts import Encoding, encode_parts
from easyrec.data.encoded_spread import encode_spread
from easyrec.data.engines import EngineConfig
from easyrec.data.spread import Spread, folder_of
from easyrec.errors import ConfigError
from feature_generator import offline

GROUP = f"{offline.GROUP_ROWS:,}"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec fg run`."""
    add_experiment(parser)
    add_rows(parser)
    parser.add_argument("--output", required=True, metavar="FILE", help="parquet file to write")
    parser.add_argument(
        "--reserve",
        metavar="COLUMN,...",
        help="raw columns to pass through ['' for none; default: what training needs, such as labels and weights]",
    )
    parser.add_argument(
        "--rows-per-group",
        type=positive,
        default=offline.GROUP_ROWS,
        metavar="N",
        help=f"rows of a row group [{GROUP}]",
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="threads [all processors]")
    parser.add_argument(
        "--bad-rows",
        choices=["fail", "skip", "default"],
        help="stop at a bad value, leave its row out, or take the feature's default [data.bad_rows, else fail]",
    )
    parser.add_argument(
        "--compression", choices=["zstd", "lz4", "snappy", "none"], default="zstd", help="of the file's pages [zstd]"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it is there")
    add_queue(parser)
    add_engine(parser)


def run(args: argparse.Namespace) -> None:
    """Transform, and print what was done."""
    found = features(args)
    bad_rows = args.bad_rows or found.bad_rows
    reserve = found.passed(args.part) if args.reserve is None else [name for name in args.reserve.split(",") if name]
    if args.threads:
        pa.set_cpu_count(args.threads)
    queue, engine = queue_of(args), engine_of(args)
    encoding = Encoding(tuple(reserve), args.rows_per_group, args.threads, bad_rows, args.compression)
    if engine is not None:
        _spread(args, found, encoding, engine)
        return
    if queue is not None:
        if args.overwrite:
            raise ConfigError(
                "--overwrite would remove what other workers have just written: remove the folder yourself"
            )
        log()
        encode_parts(
            found.generator,
            found.part(args.input, args.part, bad_rows).source,
            Path(args.output),
            queue,
            encoding,
            wait=args.wait is not False,
            bar=sys.stderr.isatty(),
        )
        line(args.output)
        return
    with bar() as progress:
        done = offline.run(
            found.generator,
            found.feed(args.input, args.part, bad_rows),
            args.output,
            reserve=reserve,
            rows_per_group=args.rows_per_group,
            threads=args.threads,
            bad_rows=bad_rows,
            overwrite=args.overwrite,
            compression=args.compression,
            progress=progress,
        )
    _print(args.output, done)


def _spread(args: argparse.Namespace, found: Features, encoding: Encoding, config: EngineConfig) -> None:
    """Let an engine's workers do it, and print what was done."""
    if args.threads:
        raise ConfigError(
            "--threads is for one process: the workers of an engine take one each, `workers=` says how many"
        )
    folder = folder_of(args.output)
    rows = None if args.table else found.source(args.input, args.part)
    log()
    with config.open() as engine:
        if args.output_table:
            engine.registrable(args.output_table)
        done, spread = encode_spread(
            found.generator,
            rows or engine.table(args.table, args.where),
            folder,
            config,
            engine,
            encoding,
            overwrite=args.overwrite,
            bar=sys.stderr.isatty(),
        )
        if args.output_table:
            engine.register(args.output_table, str(folder.absolute()))
    _print(args.output, done, spread)


def _print(output: str, done: offline.Summary, spread: Spread | None = None) -> None:
    shown = table(output, "", "", right=1)
    shown.show_header = False
    shown.add_row("rows read", count(done.rows_in))
    shown.add_row("rows written", count(done.rows_out))
    shown.add_row("rows with bad values", count(done.bad_rows))
    shown.add_row("seconds", f"{done.seconds:.1f}")
    shown.add_row("rows per second", count(round(done.rows_in / max(done.seconds, 1e-9))))
    if done.bytes_in:
        shown.add_row("read", size(done.bytes_in))
    shown.add_row("written", size(done.bytes_out))
    if spread is not None:
        add_spread(shown, spread)
    out = console()
    out.print(shown)
    for column, number in done.bad.most_common():
        out.print(f"column '{column}': {count(number)} bad values", markup=False, soft_wrap=True)
    for reason, number in done.dropped.most_common():
        out.print(f"{count(number)} malformed rows: {reason}", markup=False, soft_wrap=True)
    for example in done.examples:
        place = example.place
        where = f"line {place.line}" if place.line is not None else f"row {place.row}"
        text = f"{place.file + ', ' if place.file else ''}{where}, column '{example.column}': {example.reason}"
        out.print(text, markup=False, soft_wrap=True)
