"""`din`: an MLP over the group's features and the interests that its sequences show in the candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.activation import Activation
from easyrec.modules.mlp import MLP, MLPConfig, Widths


class Config(MLPConfig, ModelConfig):
    """Config of `din`."""

    type: Literal["din"] = "din"
    hidden: Widths = Field([200, 80], min_length=1)
    activation: Activation = "dice"

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings, dense inputs and sequences of `deep`."""
        return {"deep": GroupUse(sequence=True)}

    def default_encoder(self) -> str | None:
        """Target attention."""
        return "din"


class DIN(Model):
    """Logit = MLP of the features, the dense inputs and one vector per sequence.

    Each sequence goes through its own encoder, by default target attention.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Zhou et al., "Deep Interest Network", KDD 2018, section 4.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.deep = MLP(self.width(), config)
        self.head = Head(tasks, self.deep.out)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        return self.head(self.deep(self.flat(x)))
