"""`xdeepfm`: a compressed interaction network, an MLP and a linear part over one embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.cin import CIN, CINConfig
from easyrec.modules.mlp import MLP, MLPConfig, Widths


class Config(MLPConfig, CINConfig, ModelConfig):
    """Config of `xdeepfm`."""

    type: Literal["xdeepfm"] = "xdeepfm"
    hidden: Widths = [256, 128]
    """Widths of the deep part, input side first; empty: no deep part."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims and first-order weights of `deep`."""
        return {"deep": GroupUse(first_order=True, equal_dims=True)}


class XDeepFM(Model):
    """Logit = first-order weights + w . CIN(fields) + u . MLP(fields, dense inputs).

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Lian et al., "xDeepFM: Combining Explicit and Implicit Feature Interactions", KDD 2018, eq. (6)-(9).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.cin = CIN(self.num_fields(), config)
        self.deep = MLP(self.width(), config) if config.hidden else None
        self.head = Head(tasks, self.cin.out + (self.deep.out if self.deep is not None else 0), terms=1)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        fields = self.fields(x)  # (B, F, D)
        hidden = self.cin(fields)  # (B, cin.out)
        if self.deep is not None:
            hidden = torch.cat([hidden, self.deep(self.flat(x, fields=fields))], dim=1)
        return self.head(hidden, self.linear(x))
