"""One YAML per experiment: its sections as strict models, and `load_experiment`."""

from __future__ import annotations

from easyrec.config.data import DataConfig
from easyrec.config.evaluation import EvalConfig
from easyrec.config.experiment import Experiment, load_experiment
from easyrec.config.export import ExportConfig
from easyrec.config.model import GroupConfig, GroupUse, ModelConfig, SequenceEntry, TaskConfig
from easyrec.config.train import TrainConfig

__all__ = [
    "DataConfig",
    "EvalConfig",
    "Experiment",
    "ExportConfig",
    "GroupConfig",
    "GroupUse",
    "ModelConfig",
    "SequenceEntry",
    "TaskConfig",
    "TrainConfig",
    "load_experiment",
]
