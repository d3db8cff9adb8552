"""What comes after the program: the calibration of each task's probability. Knows no torch.

The program itself ends in predictions: link function and correction of negative sampling are captured with the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from easyrec.errors import BundleError
from easyrec.export.manifest import TaskScoring
from easyrec.modules import calibration


class Scoring:
    """Final scores from a program's predictions.

    Args:
        tasks: How each task is scored.

    Raises:
        BundleError: A calibration is not one that this version knows.
    """

    def __init__(self, tasks: Sequence[TaskScoring]) -> None:
        self.tasks = tuple(tasks)
        self._calibrators = {t.name: _calibrator(t) for t in tasks if t.calibration is not None}

    def __call__(self, predictions: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Scores by task.

        Args:
            predictions: By task, (B,) or (B, num_classes) float32.

        Returns:
            float32 of the same shapes.

        Raises:
            BundleError: A task has no prediction.
        """
        for task in self.tasks:
            if task.name not in predictions:
                raise BundleError(f"the program gives no '{task.name}', only {', '.join(predictions)}")
        scores = {task.name: predictions[task.name] for task in self.tasks}
        for name, calibrate in self._calibrators.items():
            scores[name] = calibrate(scores[name])
        return scores


def _calibrator(task: TaskScoring) -> Callable[[np.ndarray], np.ndarray]:
    assert task.calibration is not None
    try:
        return calibration.from_json(task.calibration)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"the calibration of task '{task.name}' is damaged: {error}") from None
