"""`sum`: several losses of one task, weighted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from easyrec.losses import LossConfig, build_of
from easyrec.losses._loss import Groups, Loss
from feature_generator.config import Choice, StrictModel


class Term(StrictModel):
    """A loss and its weight."""

    loss: Annotated[Any, Choice("easyrec.losses")]
    weight: float = Field(1.0, gt=0.0)


class Config(LossConfig):
    """Config of `sum`."""

    task_types: ClassVar[frozenset[str]] = frozenset({"binary", "regression", "multiclass", "ziln", "ordinal"})

    type: Literal["sum"] = "sum"
    losses: list[Term] = Field(min_length=1)
    """The losses; all must fit the task and read equally many outputs, and the first says what is predicted."""

    def num_outputs(self, num_classes: int | None) -> int:
        """Those of the first."""
        return int(self.losses[0].loss.num_outputs(num_classes))

    def placed(self) -> Iterator[tuple[tuple[str | int, ...], LossConfig]]:
        """The losses of the terms."""
        for index, term in enumerate(self.losses):
            yield from ((("losses", index, "loss", *path), part) for path, part in term.loss.placed())

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of all terms."""
        return tuple(dict.fromkeys(column for part in self.parts for column in part.columns))


class Sum(Loss):
    """``sum_k w_k l_k``, each l_k the loss of the batch; the prediction is that of the first."""

    def __init__(self, config: Any, task: Any) -> None:
        super().__init__(config, task)
        self.losses = nn.ModuleList(build_of(term.loss, task) for term in config.losses)

    def forward(
        self, logits: Tensor, labels: Tensor, weights: Tensor | None = None, groups: Groups | None = None
    ) -> Tensor:
        """The weighted sum of the losses."""
        terms = zip(self.config.losses, self.losses, strict=True)
        return torch.stack([term.weight * loss(logits, labels, weights, groups) for term, loss in terms]).sum()

    def predict(self, logits: Tensor) -> Tensor:
        """As the first loss does."""
        return self.first.predict(logits)

    def shifted(self, logits: Tensor, shift: float) -> Tensor:
        """As the first loss does."""
        return self.first.shifted(logits, shift)

    def start(self, labels: Tensor, weights: Tensor | None = None) -> Tensor | None:
        """As the first loss does."""
        return self.first.start(labels, weights)

    @property
    def first(self) -> Loss:
        """The loss that says what is predicted."""
        loss = self.losses[0]
        assert isinstance(loss, Loss)
        return loss
