"""`group_lasso`: factors of each feature's numbers are learned, which a penalty draws to 0 together."""

from __future__ import annotations

from typing import ClassVar, Literal

from easyrec.tune.select.methods._gated import Gated, GatedConfig


class Config(GatedConfig):
    """Config of `group_lasso`."""

    type: Literal["group_lasso"] = "group_lasso"


class GroupLasso(Gated):
    """The norm of a feature's factors: gates of the type `group_lasso`."""

    GATES: ClassVar[str] = "group_lasso"
    UNIT: ClassVar[str] = "norm of the factors"
