"""Write a new generation of a view for requests to read, and switch to it.

Where this is stopped, the same command with the same files goes on where it was.

    easyrec store publish -c store.yaml user_profile --input profiles.parquet
    easyrec store publish -c store.yaml user_profile --input today/ --merge --rows-per-second 20000
    easyrec store publish -c store.yaml item_vectors --vectors runs/dssm/items
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from easyrec.commands._options import positive
from easyrec.commands._print import bar, console, count, table
from easyrec.commands._store import add_definitions, columns_of, definitions, instant, opened, print_checks, view_of
from easyrec.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from easyrec.data.sources import Source
    from easyrec.store.writer import Published


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store publish`."""
    add_definitions(parser)
    parser.add_argument("view", metavar="VIEW", help="name of the view")
    rows = parser.add_mutually_exclusive_group(required=True)
    rows.add_argument("--input", metavar="PATH", help="rows: a parquet, csv or jsonl file, folder or glob")
    rows.add_argument("--vectors", metavar="DIR", help="vectors that `easyrec embed` made; their version is the model")
    parser.add_argument("--version", default="", help="which model made the vectors of --input")
    parser.add_argument("--merge", action="store_true", help="let keys that do not come stay as they are")
    parser.add_argument("--rows-per-second", type=positive, metavar="N", help="write no faster than this")


def run(args: argparse.Namespace) -> None:
    """Publish, and tell what is read now."""
    from easyrec.data.content import content_of  # noqa: PLC0415 (help must not wait for it)
    from easyrec.data.feed import source_of  # noqa: PLC0415 (help must not wait for it)
    from easyrec.store.writer import Writer  # noqa: PLC0415 (help must not wait for it)

    config = definitions(args)
    view = view_of(config, args.view)
    if args.vectors is not None:
        from easyrec.commands._vectors import embedded  # noqa: PLC0415 (help must not wait for it)

        version, batches = embedded(Path(args.vectors), view, config.entity(view.entity).join_id)
        with opened(config) as store:
            made = Writer(config, store).publish(
                view.name, batches, merge=args.merge, rows_per_second=args.rows_per_second, version=version
            )
        _tell(store.shown, made)
        return
    source = source_of(args.input, []).open()
    wanted = columns_of(config, view)
    for name in wanted:
        if name not in source.columns:
            reason = f"the rows have no such column; they have: {', '.join(list(source.columns)[:20])}"
            raise DataError(reason, file=args.input, column=name)
    content = content_of(source, wanted)
    with opened(config) as store, bar() as told:
        made = Writer(config, store).publish(
            view.name,
            _rows(source, wanted, told),
            merge=args.merge,
            source=content,
            rows_per_second=args.rows_per_second,
            version=args.version,
        )
    _tell(store.shown, made)


def _tell(where: str, made: Published) -> None:
    shown = table(
        f"published, and read now from {where}",
        *("view", "generation", "rows", "of a stopped run", "newest event", "seconds", "rows/s"),
        right=1,
    )
    newest = "" if made.newest is None else instant(made.newest / 1e6)
    rate = (made.rows - made.resumed) / max(made.seconds, 1e-9)
    figures = (count(made.rows), count(made.resumed), newest, f"{made.seconds:,.1f}", f"{rate:,.0f}")
    shown.add_row(made.view, made.generation, *figures)
    console().print(shown)
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
