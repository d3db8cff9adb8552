"""The contract of the family of blocks: shapes, what a block is told of its surroundings, how inputs are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.errors import ConfigError
from easyrec.layout import GroupLayout, SequenceLayout
from easyrec.modules.blocks import BlockConfig, Takes

Shape: TypeAlias = tuple[int, ...]
"""Sizes of a tensor without its rows: (W,) of a vector, (F, D) of fields."""
Value: TypeAlias = Tensor | list[Tensor]
"""What flows along an edge."""
Form: TypeAlias = Shape | list[Shape]
"""Its shape, or shapes."""


class Reader(Protocol):
    """What a block may ask of the model: its groups, see `easyrec.models.Model`."""

    config: Any
    layouts: dict[str, GroupLayout]

    def width(self, group: str = ...) -> int: ...
    def num_fields(self, group: str = ...) -> int: ...
    def dim(self, group: str = ...) -> int: ...
    def interest_width(self, group: str, sequence: SequenceLayout) -> int: ...
    def fields(self, x: Embedded, group: str = ...) -> Tensor: ...
    def flat(self, x: Embedded, group: str = ...) -> Tensor: ...
    def linear(self, x: Embedded, group: str = ...) -> Tensor: ...
    def interest(self, x: Embedded, sequence: SequenceLayout, group: str = ...) -> Tensor: ...


class Around(Protocol):
    """What surrounds a block while it is built."""

    model: Reader
    tasks: Sequence[TaskConfig]

    def build(self, config: BlockConfig, *forms: Form | Sequence[Form]) -> Block:
        """A block that is written inside another one; `forms` are those of the inputs that its keys would name."""
        ...

    def package(self, name: str, forms: Sequence[Form], own: bool) -> Any:
        """The graph of a package over inputs of these shapes: the one that all callers share, or one of its own."""
        ...


class Block(nn.Module):
    """One node of a graph: from the tensors of its inputs to one tensor, or a list of them.

    A block defines `__init__`, which is given the shapes of its inputs after joining and sets `shape`; and `forward`,
    which is given the tensors, one argument per key of `Config.takes`.

    Attributes:
        shape: Shape of the output without its rows; a list of shapes where the output is a list.
        reads: Whether `forward` is given the model and the embedded input before the tensors.
    """

    reads: ClassVar[bool] = False
    shape: Form

    def __init__(self, config: Any, around: Around) -> None:
        super().__init__()
        self.config = config


def join(takes: Takes, values: Sequence[Value]) -> Value:
    """The tensors of one key as the block wants them; `joined` tells the shape."""
    tensors = spread(values)
    if takes == "tensors":
        return tensors
    if takes == "vector":
        tensors = [tensor if tensor.dim() == 2 else tensor.flatten(1) for tensor in tensors]
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=1)


def joined(takes: Takes, forms: Sequence[Form]) -> Form:
    """The shape of what `join` gives.

    Raises:
        ConfigError: The block does not take inputs of these shapes.
    """
    shapes = spread(forms)
    if takes == "tensors":
        return shapes
    if takes == "vector":
        return (sum(prod(shape) for shape in shapes),)
    if takes == "tensor":
        if len(shapes) != 1:
            raise ConfigError(f"reads one tensor, but is given {told(shapes)}\njoin them by concat, stack, sum or mean")
        one: Shape = shapes[0]
        return one
    wrong = [shape for shape in shapes if len(shape) != 2]
    if wrong:
        raise ConfigError(
            f"reads fields (F, D), but is given {told(wrong)}\n"
            "take the block 'fields', or make fields by stack (of equal vectors) or unflatten (of one)"
        )
    if len({shape[1] for shape in shapes}) > 1:
        raise ConfigError(f"reads fields of one dim D, but is given {told(shapes)}")
    return (sum(shape[0] for shape in shapes), shapes[0][1])


def spread(items: Sequence[Any]) -> list[Any]:
    """The items with those that are lists as their elements."""
    return [one for item in items for one in (item if isinstance(item, list) else [item])]


def told(form: Form | Sequence[Shape]) -> str:
    """A shape as people read it: (B, 5, 16)."""
    if isinstance(form, tuple) and (not form or isinstance(form[0], int)):
        return "(" + ", ".join(["B", *map(str, form)]) + ")"
    return ", ".join(told(shape) for shape in form) or "nothing"  # type: ignore[arg-type]


def equal(shapes: Sequence[Shape], what: str) -> Shape:
    """The shape that all share.

    Raises:
        ConfigError: They differ, or there is none.
    """
    if not shapes or len(set(shapes)) > 1:
        raise ConfigError(f"{what} inputs of one shape, but is given {told(shapes)}")
    return shapes[0]


def axis_of(axis: int, shape: Shape) -> int:
    """The axis counted from the rows, 0.

    Raises:
        ConfigError: The tensor has no such axis, or it is that of the rows.
    """
    place = axis if axis >= 0 else len(shape) + 1 + axis
    if not 1 <= place <= len(shape):
        known = f"1 to {len(shape)}" if len(shape) > 1 else "1"
        raise ConfigError(f"has no axis {axis}: {told(shape)} has {known}, and 0 are the rows")
    return place


def run(block: Block, model: Reader, x: Embedded, inputs: Mapping[str, Sequence[Value]]) -> Value:
    """What a block gives for the values of its keys."""
    tensors = [join(takes, inputs[key]) if inputs[key] else None for key, takes in block.config.takes.items()]
    result: Value = block(model, x, *tensors) if block.reads else block(*tensors)
    return result
