"""Delete all that the online store and the states of streams know of some ids, such as those of a user who asks for it.

easyrec store forget -c store.yaml user_id=4711
easyrec store forget -c store.yaml user_id=4711 --state states --log reads --json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from easyrec.commands._options import pairs
from easyrec.commands._print import count, line
from easyrec.commands._store import add_definitions, definitions, opened
from easyrec.errors import ConfigError, StoreError, nearest


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store forget`."""
    add_definitions(parser)
    parser.add_argument(
        "ids", metavar="ID=VALUE,...", help="ids of an entity, such as user_id=7,8; user_id=- reads them from stdin"
    )
    parser.add_argument("--state", default=".", metavar="FOLDER", help="where states lie, unless the views say [.]")
    parser.add_argument("--log", metavar="DIR", help="a log of reads, whose rows of these ids go too")
    parser.add_argument("--json", action="store_true", help="tell it as JSON")


def run(args: argparse.Namespace) -> int:
    """Delete, and tell what was there and what is others' to delete; 1 where a part could not be done."""
    from easyrec.store.forget import elsewhere, forget  # noqa: PLC0415 (help must not wait for it)
    from easyrec.stream.forget import forget_state, views_of  # noqa: PLC0415 (help must not wait for it)

    config = definitions(args)
    ((join_id, text),) = pairs([args.ids])
    text = sys.stdin.readline().rstrip("\r\n") if text == "-" else text  # which the shell's history does not keep
    ids, known = text.split(","), [entity.join_id for entity in config.entities]
    if join_id not in known:
        told = f"no entity has the id '{join_id}'{nearest(join_id, known)}; known: {', '.join(known)}"
        raise ConfigError(told, args.config)
    undone: dict[str, str] = {}
    states: dict[str, int] = {}
    # States first: rows that are made of them would else come back.
    for name, path in views_of(config, join_id, Path(args.state)).items():
        try:
            states[name] = forget_state(config.view(name), ids, Path(args.state))
        except StoreError as error:  # noqa: PERF203 (a handful)
            undone[str(path)] = str(error)
    with opened(config) as store:
        found = forget(config, store, join_id, ids)
    undone |= {f"view '{name}'": "it is being written: forget again after that" for name in found.writing}
    rows = 0 if args.log is None else _of_log(Path(args.log), join_id, ids)
    left = elsewhere(config, join_id)
    if args.json:
        told_ = {"records": found.records, "states": states, "log_rows": rows, "undone": undone, "elsewhere": left}
        line(json.dumps(told_, ensure_ascii=False))
        return int(bool(undone))
    for entity, number in found.records.items():
        line(f"{store.shown}: {count(number)} of {count(len(ids))} records of '{entity}' were there, and are no more")
    for name, number in states.items():
        line(f"state of '{name}': {count(number)} of {count(len(ids))} were there, and are no more")
    if args.log is not None:
        line(f"{args.log}: {count(rows)} rows deleted")
    for what, why in undone.items():
        line(f"not done: {what}: {why}")
    for what, where in left.items():
        line(f"yours to delete: {what}: {where}")
    return int(bool(undone))


def _of_log(folder: Path, join_id: str, ids: list[str]) -> int:
    """Delete rows of a log of reads; gives how many there were."""
    from serving.server.forget import forget  # noqa: PLC0415 (help must not wait for it)

    return sum(forget(folder, join_id, key).deleted for key in ids)
