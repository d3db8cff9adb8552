"""Write a new generation of a view for requests to read, and switch to it.

Where this is stopped, the same command with the same files goes on where it was.

    easyrec store publish -c store.yaml user_profile --input profiles.parquet
    easyrec store publish -c store.yaml user_profile --input today/ --merge --rows-per-second 20000
    easyrec store publish -c store.yaml item_vectors --vectors runs/dssm/items
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from easyrec.commands._options import positive
from easyrec.commands._print import bar, console, count, line, table
from easyrec.commands._store import add_definitions, columns_of, definitions, instant, opened, print_checks, view_of
from easyrec.errors import DataError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

    from easyrec.data.sources import Source, Unit
    from easyrec.store.writer import Published


AHEAD_S = 300.0
"""How far clocks may differ without a word."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store publish`."""
    add_definitions(parser)
    parser.add_argument("view", metavar="VIEW", help="name of the view")
    rows = parser.add_mutually_exclusive_group(required=True)
    rows.add_argument("--input", metavar="PATH", help="rows: a parquet, csv or jsonl file, folder or glob")
    rows.add_argument("--vectors", metavar="DIR", help="vectors that `easyrec embed` made; their version is the model")
    parser.add_argument("--version", default="", help="which model made the vectors of --input")
    parser.add_argument("--merge", action="store_true", help="let keys that do not come stay as they are")
    parser.add_argument("--empty", action="store_true", help="publish files without rows too: no key has a row then")
    parser.add_argument("--rows-per-second", type=positive, metavar="N", help="write no faster than this")


def run(args: argparse.Namespace) -> None:
    """Publish, and tell what is read now."""
    from easyrec.data.content import content_of  # noqa: PLC0415 (help must not wait for it)
    from easyrec.data.feed import source_of  # noqa: PLC0415 (help must not wait for it)
    from easyrec.store.writer import Writer  # noqa: PLC0415 (help must not wait for it)

    config = definitions(args)
    view = view_of(config, args.view, args.config)
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
            known = f"they have: {', '.join(list(source.columns)[:20])}"
            reason = f"the rows have no such column{nearest(name, source.columns)}; {known}"
            raise DataError(reason, file=args.input, column=name)
    source.require(wanted)
    if not args.merge and not args.empty and all(unit.rows == 0 for unit in source.units()):
        told_ = f"holds no rows, and nobody would find a row of view '{view.name}' any more; --empty if that is meant"
        raise DataError(told_, file=args.input)
    content = content_of(source, wanted)
    rows = _Rows(source, wanted)
    with opened(config) as store, bar() as told:
        try:
            made = Writer(config, store).publish(
                view.name,
                rows.read(told),
                merge=args.merge,
                source=content,
                rows_per_second=args.rows_per_second,
                version=args.version,
            )
        except DataError as error:
            raise rows.placed(error, args.input) from None
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
    ahead = 0.0 if made.newest is None else made.newest / 1e6 - time.time()
    if ahead > AHEAD_S:
        told = "they do not grow old until then, and rows that come before then do not replace them"
        line(f"{made.view}: there are event times up to {ahead / 3600:,.1f} h ahead of this machine's clock: {told}")
    if made.checked is not None:
        print_checks([made.checked])


class _Rows:
    """The rows of files, and where each is found."""

    def __init__(self, source: Source, columns: list[str]) -> None:
        self.source, self.columns = source, columns
        self.begun: list[tuple[int, Unit]] = []
        """How many rows came before each unit."""

    def read(self, told: Callable[[int, float], None] | None = None) -> Iterator[pa.RecordBatch]:
        """All of them."""
        units, rows = self.source.units(), 0
        for place, unit in enumerate(units):
            self.begun.append((rows, unit))
            for batch in self.source.read(unit, self.columns):
                yield batch
                rows += batch.num_rows
                if told is not None:
                    told(rows, place / len(units))

    def placed(self, error: DataError, path: str) -> DataError:
        """An error of one of the rows with its file and its row or line there."""
        if error.file:
            return error
        if error.row is None or not self.begun:
            return DataError(error.reason, column=error.column, file=path)
        row = error.row
        before, unit = max((one for one in self.begun if one[0] <= row), key=lambda one: one[0])
        place = self.source.locate(unit, row - before)
        return DataError(error.reason, column=error.column, row=place.row, file=place.file, line=place.line)
