"""`hofm`: a factorization machine with crosses of three and more fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.errors import ConfigError, Problem
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.anova import Anova
from easyrec.modules.fm import FM
from feature_generator.config import fault


class Config(ModelConfig):
    """Config of `hofm`."""

    type: Literal["hofm"] = "hofm"
    order: int = Field(3, ge=2, le=8)
    """Most fields that are crossed."""
    shared: bool = False
    """All orders read the same embeddings; otherwise each has tables of its own."""

    @model_validator(mode="after")
    def _products_are_not_too_small(self) -> Self:
        init = self.embedding_init
        if self.order > 3 and not self.shared and init.type == "normal" and init.std < 0.01:
            text = f"own tables of order {self.order} do not learn from {init.std:g}: their gradients are products of the others"
            raise fault(f"{text}\nset embedding_init: {{type: normal, std: 0.05}}, or shared: true", "order")
        return self

    def uses(self) -> dict[str, GroupUse]:
        """Embeddings of equal dims and first-order weights of `deep`; of each higher order m those of `order_m`."""
        uses = {"deep": GroupUse(first_order=True, equal_dims=True)}
        for order in range(3, self.order + 1):
            uses[f"order_{order}"] = GroupUse(equal_dims=True, own=not self.shared, like="deep")
        return uses


class HOFM(Model):
    """Logit = first-order weights + sum_{m=2..order} of all products of m different fields, summed over D.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Blondel et al., "Higher-Order Factorization Machines", NIPS 2016, section 2.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.groups = list(config.uses())
        problems = []
        for order, group in enumerate(self.groups, start=2):
            if (count := self.num_fields(group)) < order:
                text = f"order {order} crosses {order} different fields, but '{group}' has {count}"
                problems.append(Problem(text, "model.order"))
        if problems:
            raise ConfigError(problems)
        self.crosses = nn.ModuleList([FM(), *(Anova(order) for order in range(3, config.order + 1))])
        self.head = Head(tasks, 0, terms=config.order)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        crossed = [cross(self.fields(x, group)) for cross, group in zip(self.crosses, self.groups, strict=True)]
        return self.head(None, self.linear(x), *crossed)
