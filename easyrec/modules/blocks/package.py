"""`package`: a graph of blocks with a name; blocks that call it share its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.errors import ConfigError
from easyrec.modules.blocks import LayerConfig, Takes
from easyrec.modules.blocks._block import Around, Block, Reader, Shape, Value


class Config(LayerConfig):
    """Config of `package`."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "tensors"}
    optional: ClassVar[frozenset[str]] = frozenset({"input"})

    type: Literal["package"] = "package"
    package: str
    """Name of one of `model.packages`."""
    own: bool = False
    """Weights of its own, not those that all other callers share."""


class PackageBlock(Block):
    """What the package gives for these inputs.

    Shape:
        input: as many tensors as the package has inputs
        output: that of the package
    """

    reads = True

    def __init__(self, config: Config, around: Around, input: list[Shape] | None) -> None:
        super().__init__(config, around)
        package = around.package(config.package, input or [], config.own)
        if package is None:
            raise ConfigError([])  # what is wrong inside is told already
        self.shape = package.shape
        if config.own:
            self.package = package
        self.called = [package]  # in a list it is no child: the model holds it once

    def forward(self, model: Reader, x: Embedded, input: list[Tensor] | None) -> Value:
        """The package's output."""
        result: Value = self.called[0](model, x, input or [])
        return result
