"""`permutation`: how much worse a trained model is where a feature's values stand at other rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from easyrec.tune.select.activations import Activations
from easyrec.tune.select.measured import Measured
from easyrec.tune.select.methods import Method, MethodConfig
from easyrec.tune.select.trained import trained

FLOOR = 0.01
"""Least scale of a task's drops, as a part of the greatest of them."""


class Config(MethodConfig):
    """Config of `permutation`."""

    type: Literal["permutation"] = "permutation"
    repeats: int = Field(3, ge=1)
    """Permutations of each feature; the mean counts."""
    gates: Literal["group_lasso", "hard_concrete", "variational_dropout", "none"] = "group_lasso"
    """Gates that the model is trained with: what they shut out blurs nothing, and noise is told from less."""


class Permutation(Method):
    """``I_f = mean over permutations (m - m_f)``, m being the metric on `valid`, better where it is greater.

    The features are looked up once; what is permuted are embeddings, and the model reads them anew.

    Source:
        Breiman, "Random Forests", 2001, section 10; Fisher, Rudin, Dominici, "All Models are Wrong, but Many are Useful",
        JMLR 2019, for models of any kind; shuffled copies as in Kursa, Rudnicki, "Feature Selection with the Boruta
        Package", 2010.
    """

    config: Config

    def _settings(self) -> dict[str, Any]:
        if self.config.gates == "none":
            return {}
        return {"model.feature_gates": self.task.gates(self.config.gates, self.task.experiment({}).train.epochs or 1.0)}

    def measure(self) -> Measured:
        """Train once, look up once, and score with each unit permuted."""
        start = time.monotonic()
        experiment = self.task.experiment(self._settings())
        trained(experiment, self.task.folder)
        kept = Activations.of(experiment, self.task.folder, self.task.rows)
        base = kept.measure()
        joint = {
            name: [feature for unit in units for feature in self.task.units[unit]]
            for name, units in self.task.joint.items()
        }
        drops = np.array(
            [
                [kept.drops(base, features, seed=(i, number)) for i in range(self.config.repeats)]
                for measured in (self.task.units, joint)
                for number, features in enumerate(measured.values())
            ]
        )
        worth = hardest(drops, [name in self.task.copies for name in (*self.task.units, *joint)])
        means = dict(zip((*self.task.units, *joint), worth.mean(axis=1).tolist(), strict=True))
        errors = {}
        if self.config.repeats > 1:
            each = worth.std(axis=1, ddof=1) / self.config.repeats**0.5
            errors = dict(zip(self.task.units, each.tolist(), strict=False))
        first = next(iter(base))
        return Measured(
            "permutation",
            f"drop of {first}" + ", other tasks in its scale" * (len(base) > 1),
            {name: means[name] for name in self.task.units},
            errors,
            {name: means[name] for name in joint},
            {},
            abs(base[first]),
            time.monotonic() - start,
        )


def hardest(drops: np.ndarray, copies: Sequence[bool]) -> np.ndarray:
    """The drop of the task that is hit hardest, (units, repeats), in the scale of the first task.

    Metrics of different tasks are compared by what noise costs each: ``max_t d_t s_1 / s_t``, s_t being the root mean
    square of the drops of copies. That of a rare label jumps about, and an error is in the unit of its label.

    Args:
        drops: (units, repeats, tasks).
        copies: Which units are shuffled copies; without any, s_t is of all units.
    """
    of = drops[np.asarray(copies, dtype=bool)] if any(copies) else drops
    scale = np.sqrt((of**2).mean(axis=(0, 1)))
    scale = np.maximum(scale, FLOOR * np.abs(drops).max(axis=(0, 1)))
    shown = scale > 0  # a task that nothing changes tells nothing
    if not shown.any():
        return drops[:, :, 0]
    unit = scale[0] or 1.0
    found: np.ndarray = (drops[:, :, shown] * (unit / scale[shown])).max(axis=2)
    return found
