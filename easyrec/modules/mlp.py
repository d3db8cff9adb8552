"""A multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from easyrec.modules.activation import Activation, BatchNorm, activation
from easyrec.modules.dropout import Dropout
from easyrec.modules.product import Linear
from feature_generator.config import StrictModel

Widths = list[Annotated[int, Field(gt=0)]]


class MLPConfig(StrictModel):
    """Keys of a deep part."""

    hidden: Widths = Field([256, 128], min_length=1)
    """Widths of the layers, input side first."""
    activation: Activation = "relu"
    """Activation of every layer."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of zeroing a hidden unit while training."""
    batch_norm: bool = False
    """Normalise each layer over the batch, before the activation."""
    layer_norm: bool = False
    """Normalise each layer over its units, before the activation."""


class LayersConfig(MLPConfig):
    """An MLP as a block of a config; `hidden: []` leaves it out."""

    hidden: Widths = [128]


def widths_alone(value: Any) -> Any:
    """A plain list as the block whose `hidden` it is."""
    if isinstance(value, int):
        raise ValueError(f"must be a list of widths, or a mapping, but is {value}\nwrite [{value}]")
    return {"hidden": value} if isinstance(value, list) else value


Layers = Annotated[LayersConfig, BeforeValidator(widths_alone, json_schema_input_type=LayersConfig | Widths)]
"""An MLP as a block; a plain list is its `hidden`."""


class MLP(nn.Sequential):
    """Layers of ``dropout(activation(norm(W x + b)))``.

    Weights start normal with variance 2 / (inputs + units), biases at 0.

    Shape:
        input: (B, width)
        output: (B, hidden[-1]), the input itself without layers; `out` is that width

    Args:
        width: Width of the input.
        config: Widths and what stands between the layers.
        layer: What makes a layer of (inputs, units) in place of ``W x + b``.

    Source:
        The weights' start: Glorot and Bengio, AISTATS 2010, eq. (16).
    """

    def __init__(self, width: int, config: MLPConfig, layer: Callable[[int, int], nn.Module] | None = None) -> None:
        layers: list[nn.Module] = []
        for units in config.hidden:
            layers.append((layer or linear)(width, units))
            layers += [BatchNorm(units)] if config.batch_norm else []
            layers += [nn.LayerNorm(units)] if config.layer_norm else []
            layers.append(activation(config.activation, units))
            layers += [Dropout(config.dropout)] if config.dropout else []
            width = units
        super().__init__(*layers)
        self.out = width

    def forward(self, input: Tensor) -> Tensor:
        """The last layer."""
        for layer in self:
            input = layer(input)
        return input


def linear(width: int, units: int, *, bias: bool = True) -> nn.Linear:
    """A linear layer, started as `MLP` says."""
    layer = Linear(width, units, bias=bias)
    nn.init.xavier_normal_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def exactly(input: Tensor) -> AbstractContextManager[Any]:
    """Around what float32 alone can hold, also under autocast; the tensors that it reads must be float32."""
    device = input.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def in_float32(layer: nn.Linear, input: Tensor) -> Tensor:
    """`layer(input)` in float32, also under autocast: logits in bfloat16 would tie."""
    if not torch.is_autocast_enabled(input.device.type):
        return layer(input)  # type: ignore[no-any-return]
    with exactly(input):
        return layer(input.float())  # type: ignore[no-any-return]
