"""What the models share that read the dense inputs as one field more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Model
from easyrec.modules.dense_field import DenseField
from easyrec.modules.mlp import Layers, LayersConfig


class DenseFieldConfig(ModelConfig):
    """Keys of these models."""

    bottom: Layers = LayersConfig(hidden=[64])
    """Layers over the dense inputs, below the one that is as wide as an embedding; a list is their `hidden`."""

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims of `deep`."""
        return {"deep": GroupUse(equal_dims=True)}


class DenseFieldModel(Model):
    """A model over the fields of `deep` and, where there are dense inputs, one that an MLP makes of them.

    Attributes:
        bottom: Adds that field; None where there are no dense inputs.
        count: Number of fields, that one included.
    """

    def __init__(
        self, config: DenseFieldConfig, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]
    ) -> None:
        super().__init__(config, layouts, tasks)
        dense = self.layouts["deep"].dense_width
        self.bottom = DenseField(dense, self.dim(), config.bottom) if dense else None
        self.count = self.num_fields() + (1 if dense else 0)

    def all_fields(self, x: Embedded) -> Tensor:
        """(B, count, D), that of the dense inputs last."""
        fields = self.fields(x)
        return fields if self.bottom is None else self.bottom(fields, x.dense("deep"))
