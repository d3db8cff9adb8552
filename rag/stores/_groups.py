"""`Groups`: what is known of chunks, kept once for all that share it, as those of a document do."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easyrec.durable import write_bytes
from easyrec.retrieval.indexes._attributes import Attributes
from easyrec.retrieval.keyword.terms import terms_of
from rag.stores import Known
from rag.stores._terms import Terms

TERMS = "terms"
SCHEMA = pa.schema({"digest": pa.binary(16), TERMS: pa.list_(pa.string())})

NAME = re.compile(r"groups-[0-9a-f]{64}\.arrow")


class Groups:
    """Groups by number, from 0 on. A file is called by its content, so that an index says which one it belongs to."""

    def __init__(self) -> None:
        self._digests: list[bytes] = []
        self._numbers: dict[bytes, int] = {}
        self._terms = Attributes(pa.table({TERMS: pa.array([], SCHEMA.field(TERMS).type)}))

    def __len__(self) -> int:
        return len(self._digests)

    def of(self, facts: Sequence[Known]) -> np.ndarray:
        """(n,) int64, the groups of some chunks; a new one for what was not known of any."""
        found, new = np.empty(len(facts), np.int64), list[list[str]]()
        for place, known in enumerate(facts):
            digest = _digest(known)
            number = self._numbers.get(digest)
            if number is None:
                number = self._numbers[digest] = len(self._digests)
                self._digests.append(digest)
                new.append(terms_of(known))
            found[place] = number
        if new:
            self._terms = self._terms.joined(Attributes(pa.table({TERMS: pa.array(new, SCHEMA.field(TERMS).type)})))
        return found

    def passing(self, asked: Terms) -> np.ndarray:
        """(groups,) bool, those that have the terms."""
        count = len(self)
        found = np.ones(count, bool)
        for some in asked.any:
            found &= self._terms.allowed({TERMS: some}, count)
        return found & ~self._terms.allowed({TERMS: asked.none}, count) if asked.none else found

    def forget(self, used: np.ndarray) -> None:
        """Let the terms of all others go, where these are most."""
        unused = np.ones(len(self), bool)
        unused[used] = False
        numbers = {digest: number for digest, number in self._numbers.items() if not unused[number]}
        if len(numbers) <= len(self._numbers) / 2:
            self._numbers = numbers
            column = self._terms.table.column(TERMS).combine_chunks()
            kept = pc.if_else(pa.array(~unused), column, pa.scalar(None, column.type))
            self._terms = Attributes(pa.table({TERMS: kept}))

    def save(self, folder: Path) -> str:
        """Write them into a folder, beside those that are there.

        Returns:
            What the file is called, by its content.

        Raises:
            RunError: The disk refuses.
        """
        sink = pa.BufferOutputStream()
        digests = pa.array(self._digests, SCHEMA.field("digest").type)
        table = pa.table([digests, self._terms.table.column(TERMS).combine_chunks()], schema=SCHEMA)
        with pa.ipc.new_file(sink, SCHEMA) as writer:
            writer.write_table(table)
        content = sink.getvalue().to_pybytes()
        name = f"groups-{_sum(content)}.arrow"
        if not (folder / name).exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / name, content)
        return name

    @staticmethod
    def tidy(folder: Path, name: str) -> None:
        """Remove all files but this one."""
        for path in folder.glob("groups-*.arrow"):
            if path.name != name:
                path.unlink(missing_ok=True)

    @staticmethod
    def load(folder: Path, name: str) -> Groups:
        """Read what `save` wrote.

        Raises:
            OSError: There is no such file.
            ValueError: It is damaged.
        """
        content = (folder / name).read_bytes() if NAME.fullmatch(name) else b""
        if name != f"groups-{_sum(content)}.arrow":
            raise ValueError(f"{folder / name} is damaged")
        table = pa.ipc.open_file(pa.BufferReader(content)).read_all()
        table.validate(full=True)
        made = Groups()
        made._digests = table.column("digest").to_pylist()
        known = table.column(TERMS).is_valid().to_pylist()
        made._numbers = {digest: number for number, digest in enumerate(made._digests) if known[number]}
        made._terms = Attributes(table.select([TERMS]))
        return made


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest(known: Known) -> bytes:
    """Of what is known: 1, 1.0, true and "1" are told apart."""
    text = json.dumps(known, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
