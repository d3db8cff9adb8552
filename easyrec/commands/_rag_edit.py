"""Let chunks say something else, be one, be several, or go; `easyrec rag show --document` tells their numbers.

easyrec rag edit -c rag.yaml 12 --text better.txt
echo "Refunds take five days." | easyrec rag edit -c rag.yaml 12
easyrec rag edit -c rag.yaml 12 --split parts.txt      # parts have a line `---` between them
easyrec rag edit -c rag.yaml 12 13 --merge
easyrec rag edit -c rag.yaml 12 --drop
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from easyrec.commands._print import line
from easyrec.commands._rag import add_config, config_of
from easyrec.errors import ConfigError, DataError

BETWEEN = re.compile(r"^---[ \t]*$", re.MULTILINE)
MOST = 16 << 20
"""Bytes of a text."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec rag edit`."""
    add_config(parser, base=True)
    parser.add_argument("parts", nargs="+", type=int, metavar="NUMBER", help="chunks")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--text", metavar="FILE", default="-", help="what the chunk shall say; default: standard input")
    how.add_argument(
        "--split", metavar="FILE", help="what it shall be in its place, with lines `---` between the parts"
    )
    how.add_argument("--merge", action="store_true", help="let chunks that follow each other be one")
    how.add_argument("--drop", action="store_true", help="take chunks away")


def run(args: argparse.Namespace) -> None:
    """Change chunks.

    Raises:
        ConfigError: More than one chunk is named where one text is given.
        DataError: There is no such chunk, or it cannot be changed so.
    """
    from rag.knowledge import KnowledgeBase  # noqa: PLC0415 (help must not wait for it)

    if not (args.merge or args.drop) and len(args.parts) > 1:
        raise ConfigError("one chunk has one text: name one chunk, or use --merge or --drop")
    with KnowledgeBase(config_of(args).knowledge) as base:
        if args.merge:
            line(f"{', '.join(map(str, args.parts))}: are {base.merge(args.parts)} now")
        elif args.drop:
            parts = list(dict.fromkeys(args.parts))
            there = base.records.parts(parts)
            gone = [part for part in parts if part not in there]
            if gone:  # all go, or none
                raise DataError(f"{base.config.path}: there is no chunk {gone[0]}")
            for part in parts:
                base.drop(part)
                line(f"{part}: is gone")
        elif args.split is not None:
            texts = [text.strip("\n") for text in BETWEEN.split(_text_of(args.split))]
            line(f"{args.parts[0]}: is {', '.join(map(str, base.split(args.parts[0], texts)))} now")
        else:
            base.edit(args.parts[0], _text_of(args.text).strip("\n"))
            line(f"{args.parts[0]}: was changed")


def _text_of(name: str) -> str:
    """What a file, or standard input, says.

    Raises:
        DataError: It cannot be read.
    """
    try:
        if name == "-":
            content = sys.stdin.buffer.read(MOST + 1)
        else:
            with Path(name).open("rb") as file:
                content = file.read(MOST + 1)
        if len(content) > MOST:
            raise DataError(f"{name}: has more than {MOST} bytes")
        return content.decode()
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{name}: is no text in UTF-8") from None
