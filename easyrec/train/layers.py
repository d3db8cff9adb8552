"""Layers of a model by their names, and what they give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.errors import ConfigError, Problem, nearest
from easyrec.export.program import EXAMPLE_ROWS, example
from easyrec.layout import GroupLayout
from easyrec.models._model import encoder_name


@dataclass(frozen=True)
class Layer:
    """A layer of a model.

    Attributes:
        name: As `model.named_modules()` calls it.
        width: Numbers a row; None of a layer that gives a number a step.
        sequence: Group and name of the sequence whose steps these are.
    """

    name: str
    width: int | None = None
    sequence: tuple[str, str] | None = None

    def values(self, given: Tensor) -> Tensor:
        """(B, width) float32, or (N,) of steps."""
        given = given.float()
        return given.reshape(-1) if self.width is None else given.reshape(-1, self.width)

    def lengths(self, x: Embedded) -> Tensor:
        """(B,) int64, the steps of each row."""
        assert self.sequence is not None
        return x.sequence(self.sequence[1], self.sequence[0]).offsets.diff()


@contextmanager
def listening(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Inside, what layers give is kept: the last tensor of each, by name."""
    heard: dict[str, Tensor] = {}
    hooks = [model.get_submodule(name).register_forward_hook(partial(_keep, heard, name)) for name in names]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


def _keep(heard: dict[str, Tensor], name: str, module: nn.Module, given: Any, made: Any) -> None:
    heard[name] = made


@torch.no_grad()
def layer_of(model: nn.Module, layouts: Mapping[str, GroupLayout], name: str, where: str, *, steps: bool) -> Layer:
    """Look at a layer: the model is run once, over rows that are made up.

    Args:
        model: The dense part.
        layouts: The groups that it reads.
        name: The layer.
        where: Dotted path of who names it.
        steps: Whether it must give a number a step of a sequence; else numbers a row.

    Raises:
        ConfigError: There is no such layer, or it gives something else.
    """
    known = [one for one, _ in model.named_modules() if one]
    if name not in known:
        shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
        raise ConfigError([Problem(f"the model has no layer '{name}'{nearest(name, known)}\nlayers: {shown}", where)])
    training, place = model.training, next((p.device for p in model.parameters()), torch.device("cpu"))
    try:
        with torch.random.fork_rng(devices=()), listening(model.eval(), [name]) as heard:
            x = Embedded(example(layouts), layouts).on(place)
            model(x)
    finally:
        model.train(training)
    given = heard.get(name)
    if not isinstance(given, Tensor):
        told = "is not run when rows are scored" if given is None else f"gives a {type(given).__name__}"
        raise ConfigError([Problem(f"'{name}' {told}, and no tensor that could be compared", where)])
    shape = tuple(given.shape)
    if not steps:
        if given.dim() < 2 or shape[0] != EXAMPLE_ROWS:
            text = f"'{name}' must give numbers for each row, (B, D), but for {EXAMPLE_ROWS} rows gives {shape}"
            raise ConfigError([Problem(text, where)])
        return Layer(name, given[0].numel())
    sequences = [(group, one.name) for group, layout in layouts.items() for one in layout.sequences]
    parts = name.split(".")
    found = next((pair for pair in sequences if encoder_name(*pair) in parts), None)
    if found is None:
        encoders = ", ".join(f"encoders.{encoder_name(*pair)}" for pair in sequences) or "none"
        raise ConfigError([Problem(f"'{name}' is no layer of a sequence's encoder; encoders: {encoders}", where)])
    number = int(x.sequence(found[1], found[0]).offsets[-1])
    if given.numel() != number or shape[0] != number:
        text = f"'{name}' must give one number for each step of '{found[1]}', but for {number} steps gives {shape}"
        raise ConfigError([Problem(text, where)])
    return Layer(name, None, found)
