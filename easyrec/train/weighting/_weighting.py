"""Losses added up as they are, and what other ways derive from."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from easyrec.batch import Embedded


class Weighting(nn.Module):
    """``sum_t weight_t * loss_t + own losses of the model``: `fixed`.

    Its parameters, where it has some, are moved by the dense optimizer; its state is part of checkpoints.
    """

    def total(self, losses: Mapping[str, Tensor], extras: Mapping[str, Tensor]) -> Tensor:
        """The loss of a step, a scalar.

        Args:
            losses: By task, the fixed weights multiplied in.
            extras: Losses of the model's own, by name.
        """
        first, *others = (*losses.values(), *extras.values())
        return sum(others, first)

    def backward(
        self, loss: Tensor, losses: Mapping[str, Tensor], extras: Mapping[str, Tensor], inputs: Embedded
    ) -> None:
        """Give every parameter and every table its gradient.

        Args:
            loss: What `total` made of the others.
            losses: As `total` takes them.
            extras: As `total` takes them.
            inputs: What the model read of the tables.
        """
        loss.backward()  # type: ignore[no-untyped-call]

    def weights(self) -> dict[str, float]:
        """The factors of the last step by task, to look at; nothing where they are fixed."""
        return {}
