"""The gradient of each task by itself, and a step of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.train.weighting._weighting import Weighting


class OfGradients(Weighting):
    """Factors of the tasks' gradients, found from their inner products over what tasks share.

    A dense parameter or a looked-up embedding is shared where more than one task has a gradient there. What is one
    task's own follows that task's loss. Each task costs a backward pass.

    Args:
        tasks: Those with a loss.
        model: The dense part.
    """

    last: Tensor

    def __init__(self, tasks: Sequence[TaskConfig], model: nn.Module) -> None:
        super().__init__()
        self.names = [task.name for task in tasks]
        self.moved = [p for p in model.parameters() if p.requires_grad]
        self.register_buffer("last", torch.ones(len(tasks)))

    def factors(self, products: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
        """Factors of the tasks' gradients where they share, and where each is alone.

        Args:
            products: (T, T) float64, inner products of the tasks' gradients.
            losses: (T,) float64.

        Returns:
            (T,) each.
        """
        raise TypeError(f"{type(self).__name__} must define factors")

    def backward(
        self, loss: Tensor, losses: Mapping[str, Tensor], extras: Mapping[str, Tensor], inputs: Embedded
    ) -> None:
        """One backward pass per task, then one from the looked-up embeddings."""
        looked_up = [tensor for tensor in inputs.tensors.values() if tensor.requires_grad]
        sources: list[Tensor] = [*self.moved, *looked_up]
        own = sum(extras.values()) if extras else None
        of_tasks = [_gradients(losses[name], sources) for name in self.names]
        of_extras = _gradients(own, sources) if isinstance(own, Tensor) else [None] * len(sources)
        shared = [sum(g is not None for g in of_source) > 1 for of_source in zip(*of_tasks, strict=True)]
        products = _products([[g for g, s in zip(of, shared, strict=True) if s] for of in of_tasks])
        values = torch.stack([losses[name].detach() for name in self.names]).double().cpu()
        together, alone = self.factors(products, values)
        self.last.copy_(together)
        step = [
            _combined([*zip(of_source, (together if s else alone).tolist(), strict=True), (extra, 1.0)])
            for *of_source, s, extra in zip(*of_tasks, shared, of_extras, strict=True)
        ]
        for parameter, gradient in zip(self.moved, step, strict=False):
            parameter.grad = gradient
        reached = [(t, g) for t, g in zip(looked_up, step[len(self.moved) :], strict=True) if g is not None]
        if reached:
            torch.autograd.backward([t for t, _ in reached], [g for _, g in reached])

    def weights(self) -> dict[str, float]:
        """The factors where tasks share."""
        return dict(zip(self.names, self.last.tolist(), strict=True))


def _gradients(loss: Tensor, sources: Sequence[Tensor]) -> list[Tensor | None]:
    if not loss.requires_grad:
        return [None] * len(sources)
    return list(torch.autograd.grad(loss, sources, retain_graph=True, allow_unused=True))


def _products(of_tasks: Sequence[Sequence[Tensor | None]]) -> Tensor:
    """(T, T) float64, the inner products."""
    number = len(of_tasks)
    products = torch.zeros(number, number, dtype=torch.float64)
    for i in range(number):
        for j in range(i + 1):
            pairs = [(a, b) for a, b in zip(of_tasks[i], of_tasks[j], strict=True) if a is not None and b is not None]
            products[i, j] = sum(float(torch.dot(a.flatten(), b.flatten())) for a, b in pairs)
            products[j, i] = products[i, j]
    return products


def _combined(terms: Sequence[tuple[Tensor | None, float]]) -> Tensor | None:
    """The sum of the gradients that are there, by their factors."""
    found: Tensor | None = None
    for gradient, factor in terms:
        if gradient is not None:
            found = gradient * factor if found is None else found.add(gradient, alpha=factor)
    return found
