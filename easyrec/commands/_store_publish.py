"""Write a new generation of a view for requests to read, and switch to it.

easyrec store publish -c store.yaml user_profile --input profiles.parquet
easyrec store publish -c store.yaml user_profile --input today/ --merge
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from easyrec.commands._print import bar, count, line
from easyrec.commands._store import add_definitions, columns_of, definitions, opened, print_checks, view_of
from easyrec.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from easyrec.data.sources import Source


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store publish`."""
    add_definitions(parser)
    parser.add_argument("view", metavar="VIEW", help="name of the view")
    parser.add_argument(
        "--input", required=True, metavar="PATH", help="rows: a parquet, csv or jsonl file, folder or glob"
    )
    parser.add_argument("--merge", action="store_true", help="let keys that do not come stay as they are")


def run(args: argparse.Namespace) -> None:
    """Publish, and tell what is read now."""
    from easyrec.data.feed import source_of  # noqa: PLC0415 (help must not wait for it)
    from easyrec.store.writer import Writer  # noqa: PLC0415 (help must not wait for it)

    config = definitions(args)
    view = view_of(config, args.view)
    source = source_of(args.input, []).open()
    wanted = columns_of(config, view)
    for name in wanted:
        if name not in source.columns:
            reason = f"the rows have no such column; they have: {', '.join(list(source.columns)[:20])}"
            raise DataError(reason, file=args.input, column=name)
    with opened(config) as store, bar() as told:
        made = Writer(config, store).publish(view.name, _rows(source, wanted, told), merge=args.merge)
    rate = made.rows / max(made.seconds, 1e-9)
    line(f"{view.name}: generation {made.generation} with {count(made.rows)} rows is read now; {rate:,.0f} rows/s")
    if made.checked is not None:
        print_checks([made.checked])


def _rows(source: Source, columns: list[str], told: Callable[[int, float], None] | None) -> Iterator[pa.RecordBatch]:
    units, rows = source.units(), 0
    for place, unit in enumerate(units):
        for batch in source.read(unit, columns):
            yield batch
            rows += batch.num_rows
            if told is not None:
                told(rows, place / len(units))
