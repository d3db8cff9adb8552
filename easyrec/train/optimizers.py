"""Optimizers of the dense parameters: torch's own, in their fused form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from easyrec.config import train as config
from easyrec.config.train import DenseOptimizer


class DenseUpdates:
    """Moves the dense parameters of a model.

    Args:
        module: The dense part; it may have no parameters at all.
        optimizer: How they move.
        regularizer: lambda of lambda/2 * ||W||^2 over all of them.
    """

    def __init__(self, module: nn.Module, optimizer: DenseOptimizer, regularizer: float = 0.0) -> None:
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in named]
        self.parameters: list[Tensor] = [p for _, p in named]
        self.regularizer = regularizer
        self.optimizer = _build(optimizer, self.parameters) if named else None

    @torch.no_grad()
    def gradients(self) -> list[Tensor]:
        """The gradients of the last backward pass, the regularizer's part added; changing them changes the step."""
        moved = [p for p in self.parameters if p.grad is not None]
        gradients = [p.grad for p in moved if p.grad is not None]
        if self.regularizer and gradients:
            torch._foreach_add_(gradients, moved, alpha=self.regularizer)
        return gradients

    def step(self, lr: float) -> None:
        """Move the parameters by their gradients, and forget these."""
        if self.optimizer is None:
            return
        self.optimizer.param_groups[0]["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """The optimizer's state as `<parameter>/<name>`."""
        if self.optimizer is None:
            return {}
        found = self.optimizer.state_dict()["state"]
        return {
            f"{self.names[index]}/{key}": value
            for index, values in found.items()
            for key, value in values.items()
            if isinstance(value, Tensor)
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state`."""
        if self.optimizer is None:
            return
        values: dict[int, dict[str, Tensor]] = {}
        indices = {name: index for index, name in enumerate(self.names)}
        for key, value in state.items():
            name, _, part = key.rpartition("/")
            values.setdefault(indices[name], {})[part] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": values, "param_groups": groups})


def _build(optimizer: DenseOptimizer, parameters: Sequence[Tensor]) -> Optimizer:
    lr = optimizer.lr
    match optimizer:
        case config.Adam():
            return Adam(parameters, lr=lr, betas=optimizer.betas, eps=optimizer.eps, fused=True)
        case config.AdamW():
            decay = optimizer.weight_decay
            return AdamW(parameters, lr=lr, betas=optimizer.betas, eps=optimizer.eps, weight_decay=decay, fused=True)
        case config.Adagrad():
            initial = optimizer.initial_accumulator
            return Adagrad(parameters, lr=lr, eps=optimizer.eps, initial_accumulator_value=initial, fused=True)
        case config.SGD():
            return SGD(parameters, lr=lr, momentum=optimizer.momentum, fused=True)
