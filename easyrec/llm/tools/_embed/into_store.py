"""Tables of vectors as embedding views of the feature store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from easyrec.errors import ConfigError, DataError, nearest
from easyrec.llm.tools._embed.output import Vectors, unpacked

if TYPE_CHECKING:
    from easyrec.llm.tools.embed import Into, TableConfig
    from easyrec.store.definitions import StoreConfig, View


class StoreView:
    """A view that vectors are published to.

    Args:
        into: Which.
        table: What is published.

    Raises:
        ConfigError: There is no such view, or it takes no such vectors.
    """

    def __init__(self, into: Into, table: TableConfig) -> None:
        from easyrec.store.definitions import load_store  # noqa: PLC0415 (it is not always used)

        self.config: StoreConfig = load_store(into.config)
        try:
            self.view: View = self.config.view(into.view)
        except ValueError as error:
            raise ConfigError(str(error), into.config) from None
        told = f"view '{self.view.name}'"
        if self.view.type != "embedding":
            raise ConfigError(
                f"{told} is of type {self.view.type}, but vectors are published to an embedding view", into.config
            )
        if self.view.event_time is not None:
            raise ConfigError(f"{told} has an event_time, but vectors of a model have none: leave it out", into.config)
        self.field = next(name for name, kind in self.view.held.items() if kind.startswith("vector"))
        self.dim = int(self.view.held[self.field].removeprefix("vector<").removesuffix(">"))
        self.others = [name for name in self.view.held if name != self.field]
        self.id, self.join_id = table.id, self.config.entity(self.view.entity).join_id
        made = [*table.keep, *(name for one in table.near for name in (one.name, f"{one.name}_similarity"))]
        for name in self.others:
            if name not in made:
                has = f"it has: {', '.join(made) or 'none'}"
                raise ConfigError(
                    f"{told} has a field '{name}', which table '{table.name}' lacks{nearest(name, made)}; {has}; see 'keep'",
                    into.config,
                )

    def fits(self, dim: int) -> None:
        """Look at the numbers of vectors, before somebody pays for them.

        Raises:
            DataError: The view has others.
        """
        if dim != self.dim:
            told = f"field '{self.field}' of view '{self.view.name}' is vector<{self.dim}>"
            raise DataError(f"vectors have {dim} numbers, but {told}")

    def publish(self, vectors: Vectors) -> int:
        """Publish them, as of the model that made them; gives how many rows."""
        from easyrec.store.writer import Writer  # noqa: PLC0415 (it is not always used)

        store = self.config.online.open(self.config.project)
        try:
            return (
                Writer(self.config, store)
                .publish(self.view.name, self._rows(vectors), version=vectors.about["model"])
                .rows
            )
        finally:
            store.close()

    def _rows(self, vectors: Vectors) -> Iterator[pa.RecordBatch]:
        for batch in vectors.batches():
            flat = pa.array(unpacked(batch).reshape(-1))
            columns = {self.join_id: batch[self.id], **{name: batch[name] for name in self.others}}
            columns[self.field] = pa.FixedSizeListArray.from_arrays(flat, self.dim)
            yield pa.record_batch(columns)
