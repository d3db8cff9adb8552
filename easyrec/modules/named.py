"""Names of modules that belong to what a config calls by a name: groups, tasks, blocks."""

from __future__ import annotations

from torch import nn

RESERVED = frozenset(dir(nn.ModuleDict()))
"""Words of torch's own, which the children of a module cannot be called."""


def module_name(name: str) -> str:
    """What the module is called that the config calls `name`, which may be any text.

    torch refuses dots, words of its own such as `train`, and no text at all. Other names stay as they are, and
    different ones stay different.
    """
    plain = name.replace("%", "%25").replace(".", "%2E")
    return f"{plain}%" if plain in RESERVED or not plain else plain
