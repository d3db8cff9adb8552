"""`masknet`: vectors multiplied by masks that the row's embeddings make, in series or side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.mask_block import FieldNorm, MaskBlock
from easyrec.modules.mlp import MLP, MLPConfig


class Config(MLPConfig, ModelConfig):
    """Config of `masknet`."""

    type: Literal["masknet"] = "masknet"
    structure: Literal["serial", "parallel"] = "parallel"
    """Each block masks the output of the one before, or all mask the embeddings and an MLP joins them."""
    layer_norm: bool = True
    """Normalise each block's output over its units, before the activation."""
    embedding_norm: bool = True
    """Normalise each field over its dims before it is masked."""
    blocks: int = Field(3, gt=0)
    """Parallel blocks."""
    block_dim: int = Field(64, gt=0)
    """Width of a parallel block's output."""
    reduction: float = Field(1.0, gt=0.0)
    """Width of a mask's hidden layer, as a multiple of the mask's width."""

    @model_validator(mode="after")
    def _fits_the_structure(self) -> Self:
        if self.structure == "serial":
            why = "is for 'structure: parallel': a serial masknet has one block per width in 'hidden', normalised by 'layer_norm'"
            self.refuse(("blocks", "block_dim", "batch_norm"), why)
        return self

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of `deep`; of equal dims where they are normalised."""
        return {"deep": GroupUse(equal_dims=self.embedding_norm)}


class MaskNet(Model):
    """Logit = w . MLP([block_1(x, n) .. block_K(x, n)]) (parallel) or w . block_K(x, .. block_1(x, n)) (serial).

    x holds all embeddings and dense inputs of `deep`, n the same with each field normalised.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Wang et al., "MaskNet: Introducing Feature-Wise Multiplication to CTR Ranking Models by Instance-Guided Mask",
        DLP-KDD 2021, eq. (5)-(14).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        width = self.width()
        serial = config.structure == "serial"
        units = config.hidden if serial else [config.block_dim] * config.blocks
        inputs = [width, *units[:-1]] if serial else [width] * config.blocks
        self.norm = FieldNorm(self.num_fields(), self.dim()) if config.embedding_norm else None
        self.blocks = nn.ModuleList(
            MaskBlock(
                width,
                before,
                after,
                reduction=config.reduction,
                layer_norm=config.layer_norm,
                function=config.activation,
                dropout=config.dropout,
            )
            for before, after in zip(inputs, units, strict=True)
        )
        plain = config.model_copy(update={"layer_norm": False})
        self.deep = None if serial else MLP(sum(units), plain)
        self.head = Head(tasks, units[-1] if self.deep is None else self.deep.out)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.fields(x) if self.norm is not None else None  # (B, F, D)
        flat = self.flat(x, fields=fields)  # (B, width)
        hidden = flat
        if self.norm is not None and fields is not None:
            hidden = self.flat(x, fields=self.norm(fields))
        if self.deep is None:
            for block in self.blocks:
                hidden = block(flat, hidden)
            return self.head(hidden)
        return self.head(self.deep(torch.cat([block(flat, hidden) for block in self.blocks], dim=1)))
