"""Which model it is: a digest that both towers' bundles and the vectors of a catalogue carry."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

if TYPE_CHECKING:
    from easyrec.config import Experiment
    from easyrec.embedding.served import ServedTables


def model_digest(experiment: Experiment, model: nn.Module, tables: ServedTables) -> str:
    """Digest of a model: its features, dense weights and tables. Averages must be in place where there are any.

    Args:
        experiment: What was trained.
        model: The dense part.
        tables: Its tables, as they are served.
    """
    digest = hashlib.sha256(experiment.generator.fingerprint.encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    for name, table in tables.arrays().items():
        digest.update(name.encode() + np.ascontiguousarray(table).data)
    return digest.hexdigest()
