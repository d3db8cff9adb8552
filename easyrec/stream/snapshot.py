"""Features of exposures, read from the online store as they come: what a model saw, and not what is known later."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from easyrec.errors import ConfigError, nearest
from easyrec.store.codec import arrow_type
from easyrec.store.definitions import StoreConfig
from easyrec.store.online import OnlineStore
from easyrec.store.reader import ModelReader


class Snapshot:
    """Adds the features of a model to exposures.

    Args:
        config: What is defined.
        store: Where features are read.
        model: Name of the model.
        columns: The exposures' columns, among them the ids of the model's entities.

    Raises:
        ConfigError: An id is missing, or a feature is called like a column.
        StoreError: There is no such model.
    """

    def __init__(self, config: StoreConfig, store: OnlineStore, model: str, columns: list[str]) -> None:
        self._reader = ModelReader(config, store, model)
        for name in self._reader.entities:
            if name not in columns:
                told = (
                    f"model '{model}' is read by '{name}', which is no column of the exposures{nearest(name, columns)}"
                )
                raise ConfigError(told)
        kinds = {n: view.types[field] for n, (view, field) in config.columns(config.model(model)).items()}
        for name in kinds:
            if name in columns:
                raise ConfigError(f"feature '{name}' of model '{model}' is called like a column of the exposures")
        self.schema = pa.schema([(name, arrow_type(kind)) for name, kind in kinds.items()])

    def __call__(self, exposures: pa.RecordBatch) -> pa.RecordBatch:
        """The exposures with the features as they are read now."""
        found: dict[str, pa.Array] = {}
        for name in self._reader.entities:
            ids = exposures[name].dictionary_encode()  # what is shown together is of one user
            read = self._reader.read({name: ids.dictionary})[name]
            found.update(zip(read.schema.names, read.take(ids.indices).columns, strict=True))
        added = [pc.cast(found[field.name], field.type) for field in self.schema]
        names = [*exposures.schema.names, *self.schema.names]
        return pa.RecordBatch.from_arrays([*exposures.columns, *added], names)
