"""Compare the features of two configs: what is added, removed, configured otherwise, and on how many rows values differ.

easyrec fg diff old.yaml new.yaml --data rows.parquet
easyrec fg diff runs/deepfm config.yaml --rows 100000 --fail-on-change
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from easyrec.commands._features import add_rows, load_features
from easyrec.commands._options import add_overrides, add_plugin, plug_all, positive
from easyrec.commands._print import console, count, table
from feature_generator.comparison import Comparison, compare
from feature_generator.offline import processors


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec fg diff`."""
    parser.add_argument("old", metavar="OLD", help="config, file of features, folder of a run, or saved generator")
    parser.add_argument("new", metavar="NEW", help="the same; its data are read where --data names none")
    add_overrides(parser)
    add_plugin(parser)
    add_rows(parser)
    parser.add_argument("--config-only", action="store_true", help="compare no values")
    parser.add_argument("--rows", type=positive, metavar="N", help="rows from the start of the data [all]")
    parser.add_argument("--examples", type=positive, default=3, metavar="N", help="rows shown per feature [3]")
    parser.add_argument("--threads", type=positive, metavar="N", help="threads [all processors]")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument(
        "--fail-on-change", action="store_true", help="exit code 1 where features or values are not the same"
    )


def run(args: argparse.Namespace) -> int:
    """Compare, print, and tell by the exit code where that is wanted."""
    plug_all(args)
    old, new = (load_features(path, args.override) for path in (args.old, args.new))
    found = compare(
        old.generator,
        new.generator,
        None if args.config_only else new.feed(args.input, args.part, "default"),
        most_rows=args.rows,
        examples=args.examples,
        threads=args.threads or processors(),
    )
    if args.json:
        print(json.dumps(dataclasses.asdict(found), ensure_ascii=False, default=str))
    else:
        _print(found, args.config_only)
    changed = found.any or (args.config_only and bool(found.changed or found.hashes))
    return int(args.fail_on_change and changed)


def _print(found: Comparison, config_only: bool) -> None:
    out = console()
    for what, names in (("added", found.added), ("removed", found.removed)):
        if names:
            out.print(f"{what}: {', '.join(names)}", markup=False, soft_wrap=True)
    if found.hashes:
        out.print(f"hash: {found.hashes[0]} -> {found.hashes[1]}", markup=False)
    if found.changed:
        shown = table("changed configs", "feature", "key", "old", "new", right=9)
        for name, keys in found.changed.items():
            for i, (key, before, after) in enumerate(keys):
                shown.add_row(name if i == 0 else "", key, _short(before), _short(after))
        out.print(shown)
    if found.differences:
        title = f"values that differ on {count(found.rows)} rows"
        shown = table(title, "feature", "rows", "share", "largest", "row", "old", "new", right=1, numbers=4)
        for name, one in found.differences.items():
            largest = "" if one.largest is None else f"{one.largest:.6g}"
            head = [name, count(one.rows), f"{one.rows / max(1, found.rows):.1%}", largest]
            for i, example in enumerate(one.examples):
                shown.add_row(*(head if i == 0 else [""] * 4), example.row, _short(example.old), _short(example.new))
            if one.kinds is not None:
                shown.add_row("", "", "", "", "", *one.kinds)
        out.print(shown)
    if not config_only:
        out.print(f"{len(found.same)} outputs are the same on all {count(found.rows)} rows", markup=False)
    if not (found.any or found.changed or found.hashes):
        out.print("nothing changes", markup=False)


def _short(value: Any) -> str:
    if value is None:
        return "(unset)"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
