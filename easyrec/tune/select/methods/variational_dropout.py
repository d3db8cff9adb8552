"""`variational_dropout`: a dropout rate is learned for each feature."""

from __future__ import annotations

from typing import ClassVar, Literal

from easyrec.tune.select.methods._gated import Gated, GatedConfig


class Config(GatedConfig):
    """Config of `variational_dropout`."""

    type: Literal["variational_dropout"] = "variational_dropout"


class VariationalDropout(Gated):
    """The chance that a feature is kept: gates of the type `variational_dropout`."""

    GATES: ClassVar[str] = "variational_dropout"
    UNIT: ClassVar[str] = "chance of being kept"
