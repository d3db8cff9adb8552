"""Delete the rows of one user from a request log, whether a server writes to it or not.

easyrec serve forget --log requests --user-column user_id --value 4711
easyrec serve forget --log requests --user-column user_id --value - --hash-key '${LOG_KEY}' < user.txt
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from easyrec.commands._print import count, line
from feature_generator.config import Document


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec serve forget`."""
    parser.add_argument("--log", required=True, metavar="DIR", help="the folder of the request log")
    parser.add_argument("--user-column", required=True, metavar="NAME", help="the column that tells users apart")
    parser.add_argument("--value", required=True, metavar="TEXT", help="the user's value; '-' reads it from stdin")
    parser.add_argument(
        "--hash-key",
        action="append",
        default=[],
        metavar="'${NAME}'",
        help="the log's hash_key, where the column is personal; former ones too",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Report what was deleted; 1 where a file does not tell whose its rows are."""
    from serving.server.run import need  # noqa: PLC0415 (an extra)

    need()
    from serving.server.forget import forget  # noqa: PLC0415 (an extra)

    value = sys.stdin.readline().rstrip("\r\n") if args.value == "-" else args.value
    keys = Document.of({"hash-key": args.hash_key}).data["hash-key"]
    found = forget(args.log, args.user_column, value, keys)
    if args.json:
        print(json.dumps(asdict(found), indent=1))
    else:
        line(f"{count(found.deleted)} of {count(found.rows)} rows deleted, {count(found.rewritten)} of "
             f"{count(found.files)} files rewritten")  # fmt: skip
        for path, why in found.untold.items():
            line(f"{path}: {why}, so its rows may be the user's and were left")
    return 1 if found.untold else 0
