"""`dlrm`: dense inputs become a field by an MLP, and an MLP reads the dot products of all pairs of fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._dense_field import DenseFieldConfig, DenseFieldModel
from easyrec.models._model import Head
from easyrec.modules.mlp import MLP, MLPConfig
from easyrec.modules.pairs import InnerProducts


class Config(MLPConfig, DenseFieldConfig):
    """Config of `dlrm`; the keys of an MLP are those of the top one."""

    type: Literal["dlrm"] = "dlrm"
    interaction: Literal["dot", "cat"] = "dot"
    """What the top MLP reads: dot products and the dense field, or all fields side by side."""
    with_fields: bool = False
    """Beside the dot products the top MLP also reads the fields."""


class DLRM(DenseFieldModel):
    """Logit = w . MLP([v, p]) + b, with v = MLP(x) of the dense inputs and all p_ij = <e_i, e_j> of fields and v.

    Without dense inputs there is no v.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Naumov et al., "Deep Learning Recommendation Model for Personalization and Recommendation Systems", 2019,
        section 2.2.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        fields, dim = self.count, self.dim()
        self.whole = config.interaction == "cat" or config.with_fields or fields == 1
        self.products = InnerProducts(fields) if config.interaction == "dot" and fields > 1 else None
        width = fields * dim if self.whole else 0 if self.bottom is None else dim
        self.deep = MLP(width + (fields * (fields - 1) // 2 if self.products else 0), config)
        self.head = Head(tasks, self.deep.out)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.all_fields(x)  # (B, F, D)
        parts = [fields.flatten(1)] if self.whole else [fields[:, -1]] if self.bottom is not None else []
        parts += [self.products(fields)] if self.products is not None else []
        return self.head(self.deep(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)))
