"""Look whether rows are what views expect of them; 3 where they are not. Nothing is published.

easyrec store check -c store.yaml
easyrec store check -c store.yaml user_profile --input today.parquet --json
easyrec store check -c store.yaml user_profile --input last_month/ --baseline
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from easyrec.commands._print import line
from easyrec.commands._store import add_definitions, columns_of, definitions, print_checks, view_of
from easyrec.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from easyrec.store.definitions import StoreConfig, View


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store check`."""
    add_definitions(parser)
    parser.add_argument("views", nargs="*", metavar="VIEW", help="names of views [all that expect something]")
    parser.add_argument("--input", metavar="PATH", help="rows of one view: files, a folder or a glob [its source]")
    parser.add_argument(
        "--baseline", action="store_true", help="distributions are compared with these rows from now on"
    )
    parser.add_argument("--json", action="store_true", help="a line of JSON for each view instead of a table")


def run(args: argparse.Namespace) -> int:
    """Check, and tell what was found."""
    from easyrec.store.quality.gate import Gate  # noqa: PLC0415 (help must not wait for it)

    config = definitions(args)
    views = [view_of(config, name, args.config) for name in args.views] or [
        view for view in config.views if view.expect
    ]
    if args.input is not None and len(views) != 1:
        raise ConfigError("--input is for the rows of one view: name it")
    found = []
    for view in views:
        if not view.expect:
            raise ConfigError(f"view '{view.name}' expects nothing: give it 'expect'", args.config)
        gate = Gate(config, view, "check")
        if args.baseline:
            gate.forget_baseline()
        found.append(gate.look(_rows(config, view, args.input)))
        if args.baseline and not found[-1].failed:
            fields = gate.make_baseline()
            line(f"{view.name}: compared with these rows from now on: {', '.join(fields) or 'no field'}")
    if args.json:
        for checked in found:
            line(json.dumps(checked.told()))
    else:
        print_checks(found)
    return 3 if any(checked.failed for checked in found) else 0


def _rows(config: StoreConfig, view: View, path: str | None) -> Iterator[pa.RecordBatch]:
    from easyrec.data.feed import source_of  # noqa: PLC0415 (help must not wait for it)
    from easyrec.store.quality.tables import batches  # noqa: PLC0415 (help must not wait for it)

    columns = columns_of(config, view)
    if path is None:
        if view.source is None:
            raise ConfigError(f"view '{view.name}' says not where its rows lie: give it a source, or --input")
        return batches(view.source, columns)
    source = source_of(path, []).open()
    source.require(columns)
    return itertools.chain.from_iterable(source.read(unit, columns) for unit in source.units())
