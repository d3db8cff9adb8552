"""`finalnet`: one or two stacks of factorized interaction layers that teach each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor
from typing_extensions import Self

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.losses._loss import counted, mean
from easyrec.models._model import Head, Model
from easyrec.modules.factorized import FactorizedInteraction, FieldGate, Residual
from easyrec.modules.mlp import MLP, MLPConfig
from feature_generator.config import fault


class Config(ModelConfig):
    """Config of `finalnet`."""

    type: Literal["finalnet"] = "finalnet"
    block1: MLPConfig = MLPConfig()
    """The first block: widths of its layers, and what stands between them."""
    block2: MLPConfig | None = None
    """The second block; omitted: one block."""
    gates: bool = True
    """The first block also reads the fields times gates."""
    residual: Residual = "concat"
    """A layer's products stand beside its linear part, or are added to it."""

    @model_validator(mode="after")
    def _halves_are_whole(self) -> Self:
        for name, block in (("block1", self.block1), ("block2", self.block2)):
            odd = [width for width in block.hidden if width % 2] if block is not None else []
            if self.residual == "concat" and odd:
                text = f"widths must be even with 'residual: concat', but one is {odd[0]}"
                raise fault(text, name, "hidden")
        return self

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of `deep`; of equal dims where they are gated."""
        return {"deep": GroupUse(equal_dims=self.gates)}


class FinalNet(Model):
    """``z = w_1 . block_1([e, e * g, x]) + b_1``, or with two blocks the mean of that and ``w_2 . block_2([e, x]) + b_2``.

    In training each of two blocks also learns the prediction of both.

    Shape:
        output: {"logit": (B,)}, before the sigmoid; in training with two blocks also {"block1/logit", "block2/logit"}

    Source:
        Zhu et al., "FINAL: Factorized Interaction Layer for CTR Prediction", SIGIR 2023, eq. (1)-(10).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        layer = partial(FactorizedInteraction, residual=config.residual)
        width = self.width()
        self.gate = FieldGate(self.num_fields()) if config.gates else None
        gated = self.num_fields() * self.dim() if config.gates else 0
        self.block1 = MLP(width + gated, config.block1, layer)
        self.head1 = Head(tasks, self.block1.out)
        self.block2 = MLP(width, config.block2, layer) if config.block2 is not None else None
        self.head2 = Head(tasks, self.block2.out) if self.block2 is not None else None

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.fields(x) if self.gate is not None else None  # (B, F, D)
        flat = first = self.flat(x, fields=fields)  # (B, width)
        if self.gate is not None and fields is not None:
            first = self.flat(x, fields=self.gate(fields))  # (B, F * D + width)
        logits1 = self.head1(self.block1(first))
        if self.block2 is None or self.head2 is None:
            return logits1
        logits2 = self.head2(self.block2(flat))
        outputs = {name: 0.5 * (logit + logits2[name]) for name, logit in logits1.items()}
        if self.training:
            for block, logits in (("block1", logits1), ("block2", logits2)):
                outputs |= {f"{block}/{name}": logit for name, logit in logits.items()}
        return outputs

    def auxiliary(
        self, outputs: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Tensor | None
    ) -> dict[str, Tensor]:
        """The losses of the blocks against the prediction of both."""
        losses = super().auxiliary(outputs, labels, weights)
        for block in ("block1", "block2") if self.block2 is not None else ():
            parts = []
            for name, task in zip(self.head1.names, self.tasks, strict=True):
                rows = _against(outputs[f"{block}/{name}"], outputs[name].detach(), task)
                parts.append(task.weight * mean(rows, counted(task, labels, weights)))
            losses[block] = torch.stack(parts).sum()
        return losses


def _against(logits: Tensor, target: Tensor, task: TaskConfig) -> Tensor:
    """(B,), the loss of logits where the prediction of others is the label."""
    if task.type == "binary" and logits.dim() == 1:
        return F.binary_cross_entropy_with_logits(logits, torch.sigmoid(target), reduction="none")
    if task.type in ("binary", "multiclass"):  # binary with a logit per class, as `jrc` has
        return -(torch.softmax(target, dim=1) * torch.log_softmax(logits, dim=1)).sum(dim=1)
    return (logits - target).square().flatten(1).mean(dim=1) if logits.dim() > 1 else (logits - target).square()
