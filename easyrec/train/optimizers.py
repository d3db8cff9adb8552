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
        others: What else it moves, which is not regularized; their names start with `others.`.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: DenseOptimizer,
        regularizer: float = 0.0,
        others: nn.Module | None = None,
    ) -> None:
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self.regularized: list[Tensor] = [p for _, p in named]
        named += [] if others is None else [(f"others.{name}", p) for name, p in others.named_parameters()]
        self.names = [name for name, _ in named]
        self.parameters: list[Tensor] = [p for _, p in named]
        self.regularizer, self.type = regularizer, optimizer.type
        self.optimizer = _build(optimizer, self.parameters) if named else None

    @torch.no_grad()
    def gradients(self) -> list[Tensor]:
        """The gradients of the last backward pass, the regularizer's part added; changing them changes the step."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if self.regularizer:
            regularized = [p for p in self.regularized if p.grad is not None]
            if regularized:
                of_these = [p.grad for p in regularized if p.grad is not None]
                torch._foreach_add_(of_these, regularized, alpha=self.regularizer)
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
            if name in indices:  # what has been frozen since moves no more
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
            fused = all(p.device.type == "cpu" for p in parameters)  # elsewhere older torch has none
            return Adagrad(parameters, lr=lr, eps=optimizer.eps, initial_accumulator_value=initial, fused=fused)
        case config.SGD():
            return SGD(parameters, lr=lr, momentum=optimizer.momentum, fused=True)
