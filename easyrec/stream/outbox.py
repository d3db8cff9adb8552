"""Rows on their way to the online store."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from easyrec.store.streams import WriteConfig
from easyrec.store.writer import Writer
from easyrec.stream.state import State

SPACE = "due"


class Outbox:
    """Writes rows, and knows whose rows have still to be written.

    Args:
        config: How.
        writer: Of the online store.
        view: Name of the view.
        state: Remembers whose rows have still to be written.
        rows_of: The rows of some keys.
    """

    def __init__(
        self,
        config: WriteConfig,
        writer: Writer,
        view: str,
        state: State,
        rows_of: Callable[[Sequence[bytes]], pa.RecordBatch],
    ) -> None:
        self.config, self.writer, self.view, self.state = config, writer, view, state
        self._number = 0
        self._done: list[bytes] = []
        for name, keys in state.scan(SPACE):
            some = keys.split(b"\0")
            self.writer.write(view, rows_of(some))
            self._done.append(name)
            self._number = int.from_bytes(name, "big") + 1

    def due(self, keys: Sequence[bytes]) -> tuple[str, Sequence[bytes], Sequence[bytes]]:
        """What the state has to remember of rows that will be put, and to forget of those that were written."""
        name = self._number.to_bytes(8, "big")
        done, self._done = self._done, [name]
        self._number += 1
        return SPACE, [*done, name], [b""] * len(done) + [b"\0".join(keys)]

    def put(self, keys: Sequence[bytes], rows: pa.RecordBatch) -> None:
        self.writer.write(self.view, rows)

    def idle(self) -> None:
        """Nothing comes."""

    def flush(self) -> None:
        """Write all."""

    def close(self) -> None:
        """Stop."""
