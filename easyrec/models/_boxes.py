"""Boxes and who reads whom: what a model hands to `easyrec.report.graph` to be drawn. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["group", "block", "package", "head"]


@dataclass(frozen=True)
class Box:
    """One box.

    Attributes:
        id: What `reads` calls it; unique in its panel.
        title: Its name.
        kind: What it stands for.
        lines: What stands below the title: type, shape, number of weights.
        reads: Boxes to its left, in order.
        note: What it says on pointing at it.
    """

    id: str
    title: str
    kind: Kind
    lines: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Panel:
    """Boxes that are drawn together: the model, or one of its packages."""

    title: str
    boxes: tuple[Box, ...]


@dataclass
class Picture:
    """All panels of a model."""

    panels: list[Panel] = field(default_factory=list)
