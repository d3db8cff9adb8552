"""What the models share that read interests out of behaviour sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.activation import Activation
from easyrec.modules.mlp import MLP, MLPConfig, Widths


class InterestConfig(MLPConfig, ModelConfig):
    """Keys of these models. The encoder of sequences that name none is the one called like the model."""

    hidden: Widths = Field([200, 80], min_length=1)
    activation: Activation = "dice"

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings, dense inputs and sequences of `deep`."""
        return {"deep": GroupUse(sequence=True)}

    def default_encoder(self) -> str | None:
        """The paper's."""
        return self.type


class Interest(Model):
    """Logit = MLP of the features, the dense inputs and one vector per sequence, each from an encoder of its own.

    Shape:
        output: {"logit": (B,)}, before the sigmoid
    """

    def __init__(self, config: InterestConfig, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.deep = MLP(self.width(), config)
        self.head = Head(tasks, self.deep.out)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        return self.head(self.deep(self.flat(x)))
