"""Read what a model needs of some ids, and show it.

easyrec store read -c store.yaml ctr user_id=7 item_id=3,5,8
easyrec store read -c store.yaml ctr user_id=7 --json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from easyrec.commands._options import pairs
from easyrec.commands._print import console, line, table
from easyrec.commands._store import add_definitions, definitions, model_of, opened

if TYPE_CHECKING:
    import pyarrow as pa


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store read`."""
    add_definitions(parser)
    parser.add_argument("model", metavar="MODEL", help="name of a model's features")
    parser.add_argument("ids", nargs="+", metavar="ID=VALUE,...", help="ids of an entity, such as user_id=7,8")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each id instead of tables")


def run(args: argparse.Namespace) -> None:
    """Read, and print the rows."""
    from easyrec.store.codec import read_type  # noqa: PLC0415 (help must not wait for it)
    from easyrec.store.reader import ModelReader  # noqa: PLC0415 (help must not wait for it)

    config = definitions(args)
    model = model_of(config, args.model, args.config)
    ids = {name: text.split(",") for name, text in pairs(args.ids)}
    with opened(config) as store:
        found = ModelReader(config, store, args.model).read(ids)
    for name, rows in found.items():
        if args.json:
            for key, row in zip(ids[name], rows.to_pylist(), strict=True):
                line(json.dumps({name: key, **row}, default=str, ensure_ascii=False))
        else:
            types = {called: read_type(view.types[field]) for called, (view, field) in config.columns(model).items()}
            _print(name, ids[name], rows, types)


def _print(name: str, ids: list[str], rows: pa.RecordBatch, types: Mapping[str, str]) -> None:
    """A line for each feature, a column for each id."""
    shown = table(f"by {name}", "feature", "type", *ids, right=2)
    for column, field in zip(rows.columns, rows.schema, strict=True):
        values = ["" if value is None else str(value) for value in column.to_pylist()]
        shown.add_row(field.name, types.get(field.name, str(field.type)), *values)
    console().print(shown)
