"""What `easyrec check` refuses of the section `train` once the model is built: nothing is made, no table is read."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from easyrec.config import Experiment
from easyrec.embedding.plan import EmbeddingPlan
from easyrec.embedding.tiers import bytes_of, place, store_of
from easyrec.errors import ConfigError
from easyrec.train.freeze import freeze, frozen_plan
from easyrec.train.init_from import check_start
from easyrec.train.out_of_memory import doubt_about


def look_ahead(experiment: Experiment, plan: EmbeddingPlan, model: nn.Module) -> str:
    """Refuse what would end training at its start: names that stand for nothing, a run to start from that is not there.

    Args:
        experiment: What would be trained.
        plan: Its tables.
        model: Its dense part; parameters that `train.freeze` names stop learning.

    Returns:
        What is doubtful of the memory that tables take on this machine, or nothing.

    Raises:
        ConfigError: With the line of what is wrong.
        CheckpointError: The run to start from holds no checkpoint, or one that cannot be read.
        BundleError: The bundle to start from cannot be read.
    """
    config = experiment.train
    try:
        if (store := store_of(config.storage, Path())) is not None:
            place(plan, config.sparse_optimizer.type, store.bytes)
        freeze(model, frozen_plan(plan, config.freeze), config.freeze)
        if config.init_from is not None:
            check_start(config.init_from, config, [*model.state_dict(), *(spec.name for spec in plan.tables)])
    except ConfigError as error:
        raise experiment.placed(error) from None
    return doubt_about(bytes_of(plan, config.sparse_optimizer.type)) if store is None else ""
