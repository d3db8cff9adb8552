"""A log of lists, and how much more likely another policy would have shown them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from easyrec.errors import DataError

Floats = npt.NDArray[np.float64]
Scheme = Literal["item", "cascade", "list"]
"""What of a list a reward hangs on: its own item and position; those and what stands above; or the whole list."""
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Logged:
    """Lists as they were shown; (n, k) each, a decision without a list is one with k = 1.

    Attributes:
        reward: What each position brought, such as clicks; 0 where a list is short.
        propensity: Chance, under the policy that was logged, of the item at its position; with the schemes `cascade` and
            `list`, given the items above it.
        target: The same under the policy that is asked about.
        there: Where there is an item; None: everywhere.
        predicted: Reward that a model expects of the item at its position, for `doubly_robust`.
        expected: (n, k) or (n,) reward that the same model expects of what the policy that is asked about would show,
            by position, or of a whole list.
        groups: (n,) numbers of what belongs together, such as users: intervals then know that their rows are alike.
    """

    reward: Floats
    propensity: Floats
    target: Floats
    there: npt.NDArray[np.bool_] | None = None
    predicted: Floats | None = None
    expected: Floats | None = None
    groups: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for name in ("reward", "propensity", "target", "predicted"):
            values = getattr(self, name)
            if values is None:
                continue
            found = np.asarray(values, dtype=np.float64)
            object.__setattr__(self, name, found[:, None] if found.ndim == 1 else found)
            if getattr(self, name).shape != self.reward.shape:
                raise DataError(f"{name} has the shape {found.shape}, rewards have {self.reward.shape}", column=name)
        there = np.ones(self.reward.shape, dtype=bool) if self.there is None else np.asarray(self.there, dtype=bool)
        object.__setattr__(self, "there", there.reshape(self.reward.shape))
        for name in ("reward", "propensity", "target", "predicted"):
            values = getattr(self, name)
            if values is not None and not np.isfinite(values[self.filled]).all():
                raise DataError("holds values that are no finite numbers", column=name)
        chance, target = self.propensity[self.filled], self.target[self.filled]
        if not len(chance):
            raise DataError("the log shows nothing")
        if (chance <= 0).any() or (chance > 1 + TOLERANCE).any():
            raise DataError("must be above 0 and at most 1: what was shown had a chance to be", column="propensity")
        if (target < 0).any() or (target > 1 + TOLERANCE).any():
            raise DataError("must be from 0 to 1", column="target")
        if self.groups is not None and np.shape(self.groups) != (len(self.reward),):
            raise DataError(f"has the shape {np.shape(self.groups)}, but needs one per list", column="groups")
        if self.expected is not None and np.shape(self.expected) not in ((len(self.reward),), self.reward.shape):
            raise DataError(
                f"has the shape {np.shape(self.expected)}, but needs {self.reward.shape}", column="expected"
            )
        if self.expected is not None:
            whole = np.asarray(self.expected, dtype=np.float64)
            object.__setattr__(self, "expected", whole)
            if not np.isfinite(whole if whole.ndim == 1 else whole[self.filled]).all():
                raise DataError("holds values that are no finite numbers", column="expected")

    @property
    def filled(self) -> npt.NDArray[np.bool_]:
        """(n, k) where there is an item."""
        assert self.there is not None
        return self.there

    def __len__(self) -> int:
        return len(self.reward)


@dataclass(frozen=True)
class Weights:
    """Importance weights of the positions of lists.

    Attributes:
        values: (n, k), 0 where there is no item.
        clipped: Share of the weights that were cut.
    """

    values: Floats
    clipped: float

    @staticmethod
    def of(logged: Logged, scheme: Scheme = "item", clip: float | None = None) -> Weights:
        """The weights ``target / propensity`` of a log.

        - `item`: of the item at its position alone. Right where a reward does not hang on the other items: "interaction
          independent" (Li et al., "Offline Evaluation of Ranking Policies with Click Models", KDD 2018).
        - `cascade`: the product over the position and those above. Right where it hangs on what was seen before
          (McInerney et al., "Counterfactual Evaluation of Slate Recommendations with Sequential Reward Interactions",
          KDD 2020).
        - `list`: the product over the whole list. Always right, and seldom of use: its variance grows with k's power.

        Args:
            logged: The log.
            scheme: Which.
            clip: The greatest weight; larger ones are cut to it, for less variance and some bias.
        """
        if scheme not in SCHEMES:
            raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, not {scheme!r}")
        if clip is not None and not clip > 0:
            raise ValueError(f"clip must be above 0, not {clip}")
        there = logged.filled
        ratio = np.where(there, logged.target / np.where(there, logged.propensity, 1.0), 1.0)
        if scheme != "item":
            ratio = np.cumprod(ratio, axis=1)
        if scheme == "list":
            ratio = np.repeat(ratio[:, -1:], ratio.shape[1], axis=1)
        clipped = 0.0
        if clip is not None:
            clipped = float((ratio > clip)[there].mean())
            ratio = np.minimum(ratio, clip)
        return Weights(np.where(there, ratio, 0.0), clipped)
