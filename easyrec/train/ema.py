"""Exponential moving average of the dense parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EMA:
    """average <- decay * average + (1 - decay) * parameter, after every update.

    It starts at the initial parameters. Buffers (the statistics of batch norm) are averages already and stay
    as they are; tables are not averaged.

    Args:
        module: The dense part.
        decay: Weight of the past.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.names = [name for name, p in module.named_parameters() if p.requires_grad]
        self.parameters: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
        self.averages = [p.detach().clone() for p in self.parameters]

    def to(self, device: torch.device) -> None:
        """Follow the module to a device, which may have put other parameters in the place of its own."""
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        self.averages = [average.to(device) for average in self.averages]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the parameters after an update."""
        torch._foreach_lerp_(self.averages, self.parameters, 1.0 - self.decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the module's parameters are the averages."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        # By value: the optimizer and a compiled graph hold on to the parameters' memory.
        for parameter, average in zip(self.parameters, self.averages, strict=True):
            kept = parameter.clone()
            parameter.copy_(average)
            average.copy_(kept)

    def state(self) -> dict[str, Tensor]:
        """The averages by parameter name."""
        return dict(zip(self.names, self.averages, strict=True))

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state`."""
        for name, average in zip(self.names, self.averages, strict=True):
            average.copy_(state[name])
