"""`twin`: an MLP over the group's features and long sequences, searched by the attention that then reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.mlp import MLP, MLPConfig, Widths


class Config(MLPConfig, ModelConfig):
    """Config of `twin`."""

    type: Literal["twin"] = "twin"
    hidden: Widths = Field([200, 80], min_length=1)

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings, dense inputs and sequences of `deep`."""
        return {"deep": GroupUse(sequence=True)}

    def default_encoder(self) -> str | None:
        """Attention that searches with its own scores."""
        return "twin"


class TWIN(Model):
    """Logit = MLP of the features, the dense inputs and one vector per sequence.

    Each sequence goes through its own encoder, by default `twin`: attention over the steps that it would weigh most.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Chang et al., "TWIN: TWo-stage Interest Network for Lifelong User Behavior Modeling in CTR Prediction at
        Kuaishou", KDD 2023, section 4.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.deep = MLP(self.width(), config)
        self.head = Head(tasks, self.deep.out)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        return self.head(self.deep(self.flat(x)))
