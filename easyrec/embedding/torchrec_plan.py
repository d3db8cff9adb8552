"""What TorchRec's planner makes of tables: the extra `distributed`."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from easyrec.errors import MissingExtra

if TYPE_CHECKING:
    from easyrec.embedding.sharding import Kind
    from easyrec.embedding.spec import TableSpec

RESERVED = 0.15
"""Share of a machine's memory that tables leave to others."""
NAMES: dict[str, Kind] = {
    "row_wise": "row",
    "table_wise": "table",
    "column_wise": "column",
    "data_parallel": "data_parallel",
}


def planned(tables: Sequence[TableSpec], size: int, batch_size: int, kinds: Sequence[Kind]) -> dict[str, Kind]:
    """How TorchRec would share tables.

    Args:
        tables: The tables.
        size: Number of workers.
        batch_size: Rows of a worker's batch.
        kinds: What it may choose from.

    Raises:
        MissingExtra: TorchRec is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own making, at import
            from torchrec import EmbeddingBagCollection, EmbeddingBagConfig  # noqa: PLC0415 (an extra)
            from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder  # noqa: PLC0415
            from torchrec.distributed.planner import (  # noqa: PLC0415
                EmbeddingShardingPlanner,
                ParameterConstraints,
                Topology,
            )
            from torchrec.distributed.planner.storage_reservations import (  # noqa: PLC0415
                FixedPercentageStorageReservation,
            )
    except ImportError as error:
        raise MissingExtra("torchrec", "distributed") from error
    allowed = [name for name, kind in NAMES.items() if kind in kinds]

    class Sharder(EmbeddingBagCollectionSharder):  # type: ignore[misc]  # it comes without types
        """Its own refuses rows for processors."""

        def sharding_types(self, compute_device_type: str) -> list[str]:
            return allowed

    configs = [
        EmbeddingBagConfig(name=t.name, num_embeddings=t.rows, embedding_dim=t.dim, feature_names=list(t.features))
        for t in tables
    ]
    said = logging.getLogger("torchrec.distributed.planner")
    level = said.level
    said.setLevel(logging.ERROR)  # it warns of machines that it was not told enough about
    try:
        planner = EmbeddingShardingPlanner(
            topology=Topology(world_size=size, compute_device="cpu", local_world_size=size),
            batch_size=batch_size,
            storage_reservation=FixedPercentageStorageReservation(percentage=RESERVED),
            constraints={t.name: ParameterConstraints(sharding_types=allowed) for t in tables},
        )
        collection = EmbeddingBagCollection(tables=configs, device=torch.device("meta"))
        found = planner.plan(collection, [Sharder()])
    finally:
        said.setLevel(level)
    return {name: NAMES[chosen.sharding_type] for part in found.plan.values() for name, chosen in part.items()}
