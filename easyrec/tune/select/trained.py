"""Trainings of a selection: each in a folder of its own, where an interrupted one goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

from easyrec.config import Experiment
from easyrec.train.run import Run
from easyrec.train.trainer import Trainer


def trained(experiment: Experiment, folder: Path) -> Run:
    """Train, or go on, or give what has been trained.

    Raises:
        Interrupted: A signal came; the state is saved.
        ConfigError: Config and data do not fit.
        FeatureGeneratorError: Training cannot go on.
    """
    config = folder / "config.yaml"
    same = config.is_file() and config.read_text(encoding="utf-8") == experiment.to_yaml()
    if same and (folder / "metrics.json").is_file():
        return Run.load(folder)
    if folder.exists() and not same:
        shutil.rmtree(folder)
    return Trainer(experiment, folder, resume=same, bar=False, export=False).fit()
