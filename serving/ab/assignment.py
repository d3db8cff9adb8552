"""What a unit gets: a variant of each layer that it takes part in, and their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Assignment(NamedTuple):
    """The variants of a unit. Units with the same variants share `key`, `variants` and `parameters`; none may change them.

    Attributes:
        unit: Who.
        key: The variants, to be kept by: `("ranking=deep/treatment",)`.
        variants: `experiment/variant` by layer, as it is logged.
        parameters: Values by dotted path below the scene, of all these variants.
    """

    unit: str
    key: tuple[str, ...]
    variants: Mapping[str, str]
    parameters: Mapping[str, Any]
