"""`permutation`: how much worse a trained model is where a feature's values stand at other rows."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np
from pydantic import Field

from easyrec.tune.select.activations import Activations
from easyrec.tune.select.measured import Measured
from easyrec.tune.select.methods import Method, MethodConfig
from easyrec.tune.select.trained import trained


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
        importance, errors, joint = {}, {}, {}
        for number, (name, features) in enumerate(self.task.units.items()):
            drops = [kept.drop(base, features, seed=(i, number)) for i in range(self.config.repeats)]
            importance[name] = float(np.mean(drops))
            if len(drops) > 1:
                errors[name] = float(np.std(drops, ddof=1) / len(drops) ** 0.5)
        for number, (name, units) in enumerate(self.task.joint.items()):
            features = [feature for unit in units for feature in self.task.units[unit]]
            drops = [kept.drop(base, features, seed=(i, number)) for i in range(self.config.repeats)]
            joint[name] = float(np.mean(drops))
        first = next(iter(base))
        seconds = time.monotonic() - start
        return Measured("permutation", f"drop of {first}", importance, errors, joint, {}, abs(base[first]), seconds)
