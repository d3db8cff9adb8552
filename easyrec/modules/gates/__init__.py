"""Gates on the inputs of a model, which tell what a feature is worth: `feature_gates` of the `model` section.

The contract of the family: `easyrec/modules/gates/<type>.py` holds the gates' `Config` over `GatesConfig`, and one class
over `Gates`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from easyrec.config.family import implementation
from easyrec.config.model import GatesConfig
from easyrec.layout import GroupLayout

if TYPE_CHECKING:
    from easyrec.modules.gates._gates import Gates

__all__ = ["Gates", "GatesConfig", "build"]


def build(config: GatesConfig, layouts: Mapping[str, GroupLayout]) -> Gates:
    """Fresh gates on the inputs of these groups."""
    from easyrec.modules.gates._gates import Gates as Base  # noqa: PLC0415 (torch stays out until it is used)

    return implementation("easyrec.modules.gates", config.type, Base)(config, layouts)


def __getattr__(name: str) -> Any:
    if name == "Gates":
        from easyrec.modules.gates._gates import Gates  # noqa: PLC0415 (torch stays out until it is asked for)

        return Gates
    raise AttributeError(f"module 'easyrec.modules.gates' has no attribute '{name}'")
