"""Where the time of training steps goes, measured on some of them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easyrec.config import Experiment
from easyrec.config.experiment import experiment_of
from easyrec.config.statistic import StatisticConfig
from easyrec.train.observer import Observer
from easyrec.train.profiling import read_profile
from easyrec.train.trainer import Trainer
from easyrec.tune.work import quiet
from feature_generator.config import override


class _Enough(Exception):  # noqa: N818 (it says what there is)
    """All steps have been measured."""


class _Until(Observer):
    """Ends a training when its profile is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def stepped(self) -> None:
        """End where there is a profile."""
        if read_profile(self.folder) is not None:
            raise _Enough

    def evaluated(self, values: Mapping[str, float], *, improved: bool) -> None:
        """Go on."""


def measure(experiment: Experiment, data: Mapping[str, Any] | None, steps: int) -> dict[str, Any] | None:
    """A profile of the first steps of a training, which leaves nothing behind; None where that is too short.

    Args:
        experiment: What is trained; `valid` is evaluated where training ends before the steps are over.
        data: Rows by part that stand in for the config's.
        steps: How many are measured, behind those that warm up.
    """
    if isinstance(experiment.model, StatisticConfig):
        return None
    calm: dict[str, Any] = {"train.evaluate_every": {"steps": 10**9}, "train.early_stop": None}
    shuffle = experiment.data.shuffle
    if shuffle:
        # A large buffer is filled before the first step: the reader would have nothing to do in those that follow.
        calm["data.shuffle"] = {**shuffle.model_dump(exclude_none=True), "buffer_rows": 1}
    with quiet(), tempfile.TemporaryDirectory(prefix="easyrec-advise-") as name:
        folder = Path(name) / "run"
        trainer = Trainer(
            experiment_of(override(experiment.document, calm)),
            folder,
            data=data,
            bar=False,
            export=False,
            profile=steps,
            observer=_Until(folder),
        )
        with contextlib.suppress(_Enough):
            trainer.fit()
        return read_profile(folder)
