"""`StoredUsers`: columns of users from a feature store, read once a request, for all its stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from easyrec.errors import ConfigError, StoreError
from easyrec.store.definitions import load_store
from serving.features import FeatureSource
from serving.server.config import FeaturesConfig

if TYPE_CHECKING:
    from serving.engine.ask import Ask


class StoredUsers:
    """What a store has of users.

    Args:
        config: Which store, and which of its models.
        user_key: What the id of users is called.

    Raises:
        ConfigError: The store's definitions cannot be read, or it knows no such users.
        StoreError: The store cannot be opened.
    """

    def __init__(self, config: FeaturesConfig, user_key: str) -> None:
        definitions = load_store(config.store)
        joins = {entity.name: entity.join_id for entity in definitions.entities}
        self.source = FeatureSource(definitions, config.model, config.deadline_ms)
        names = [name for name, (view, _) in self.source.columns.items() if joins[view.entity] == user_key]
        if not names:
            told = f"model '{config.model}' of the store has no column by '{user_key}', which is the engine's user_key"
            raise ConfigError(f"features: {told}")
        self._user_key, self._reader = user_key, self.source.reader(names)
        self._deadline_ms = config.deadline_ms

    def start(self) -> None:
        """Load what the store is to hold in memory.

        Raises:
            StoreError: It cannot be reached; it is tried again.
        """
        self.source.near.start()

    def begin(self, ask: Ask) -> Callable[[], Mapping[str, pa.Array]]:
        """Begin to read the columns of a request's user, and give what ends it."""
        key = self._user_key
        ids = {key: pa.array([ask.question.user_id])}
        wait = self._reader.begin(ids, deadline_ms=self._deadline_ms)

        def ended() -> dict[str, Any]:
            try:
                found = wait()
            except StoreError:
                ask.degraded.append("features: store")
                return {}
            if key in found.defaulted:
                ask.degraded.append("features: deadline")
            batch = found[key]
            return dict(zip(batch.schema.names, batch.columns, strict=True))

        return ended

    def close(self) -> None:
        """Let go of the store."""
        self.source.close()
