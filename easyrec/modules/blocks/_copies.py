"""What `repeat`, `recurrence`, `parallel` and `map` share: copies of a block that is written inside another one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.errors import ConfigError
from easyrec.modules.blocks import AnyBlock, BlockConfig, GroupBlockConfig, LayerConfig
from easyrec.modules.blocks._block import Around, Block, Form, Reader, Shape, Value, equal, run, spread, told


class CopiesConfig(LayerConfig):
    """Keys of blocks that hold copies of another one."""

    block: AnyBlock
    """The block to copy, without `name` and `input`."""
    shared: bool = False
    """Whether the copies share their weights."""
    output: Literal["last", "concat", "stack", "sum", "list"]
    """What becomes of the copies' outputs."""

    @field_validator("block")
    @classmethod
    def _is_bare(cls, value: BlockConfig) -> BlockConfig:
        if isinstance(value, GroupBlockConfig):
            raise ValueError(f"'{value.type}' reads a feature group, so there is nothing to repeat")
        given = [key for key in ("name", *value.takes) if getattr(value, key) not in (None, [])]
        if given:
            raise ValueError(f"takes no '{given[0]}': '{cls.model_fields['type'].default}' gives it its input")
        others = [key for key in value.takes if key != "input" and key not in value.optional]
        if others:
            raise ValueError(f"'{value.type}' also needs '{others[0]}'\nwrite it into a package and call that")
        return value

    def inner(self) -> Iterator[tuple[str, BlockConfig]]:
        """The block that is copied."""
        yield "block", self.block


class TimesConfig(CopiesConfig):
    """Keys of blocks that say how many copies they hold."""

    times: int = Field(gt=0, le=64)
    """Number of copies."""


class Copies(Block):
    """Base of blocks that hold copies of another one."""

    reads = True

    def __init__(self, config: CopiesConfig, around: Around) -> None:
        super().__init__(config, around)
        self.copies = nn.ModuleList()
        self.given: list[Form] = []

    def add(self, around: Around, forms: Sequence[Form]) -> Form:
        """One more copy over inputs of these shapes; the shape of its output."""
        if self.config.shared and len(self.copies):
            first = self.copies[0]
            assert isinstance(first, Block)
            if list(forms) != self.given:
                raise ConfigError(
                    f"copies that share their weights need equal inputs, but the first has {told(spread(self.given))}, "
                    f"another {told(spread(forms))}"
                )
            return first.shape
        copy = around.build(self.config.block, list(forms))
        self.given = list(forms)
        self.copies.append(copy)
        return copy.shape

    def call(self, index: int, model: Reader, x: Embedded, inputs: Sequence[Value]) -> Value:
        """What a copy makes of its inputs."""
        copy = self.copies[0 if self.config.shared else index]
        assert isinstance(copy, Block)
        return run(copy, model, x, {**dict.fromkeys(copy.config.takes, ()), "input": inputs})

    def form(self, forms: Sequence[Form]) -> Form:
        """The shape of `gathered`."""
        kind, shapes = self.config.output, spread(forms)
        if kind == "last":
            return forms[-1]
        if kind == "list":
            return shapes
        if kind == "concat":
            if any(len(shape) != len(shapes[0]) or shape[1:] != shapes[0][1:] for shape in shapes):
                raise ConfigError(f"cannot join {told(shapes)}: they differ in more than axis 1")
            return (sum(shape[0] for shape in shapes), *shapes[0][1:])
        one: Shape = equal(shapes, "has" if kind == "stack" else "sums")
        return (len(shapes), *one) if kind == "stack" else one

    def gathered(self, outputs: Sequence[Value]) -> Value:
        """The copies' outputs, as `output` says."""
        kind: Any = self.config.output
        if kind == "last":
            return outputs[-1]
        tensors: list[Tensor] = spread(outputs)
        if kind == "list":
            return tensors
        if kind == "concat":
            return torch.cat(tensors, dim=1)
        stacked = torch.stack(tensors, dim=1)
        return stacked if kind == "stack" else stacked.sum(dim=1)
