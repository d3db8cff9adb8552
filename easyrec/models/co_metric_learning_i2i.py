"""`co_metric_learning_i2i`: one tower over items; those that are taken together lie near each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, TaskConfig
from easyrec.errors import Problem
from easyrec.layout import GroupLayout
from easyrec.losses.sampled.multi_similarity import Config as MultiSimilarityConfig
from easyrec.models._matching import Matching, MatchingConfig
from easyrec.modules.mlp import MLP, MLPConfig, linear
from feature_generator.config import Choice


class Config(MLPConfig, MatchingConfig):
    """Config of `co_metric_learning_i2i`; the keys of an MLP are those of the tower."""

    type: Literal["co_metric_learning_i2i"] = "co_metric_learning_i2i"
    output_dim: int = Field(64, gt=0)
    """D, the width of the vectors that are compared."""
    loss: Annotated[Any, Choice("easyrec.losses.sampled")] | None = MultiSimilarityConfig()
    """What training with `data.sampler` minimises."""

    def uses(self) -> dict[str, GroupUse]:
        """All of `item`; in `user` the same of the item at hand."""
        return {"user": GroupUse(about="item", like="item"), "item": GroupUse(about="item")}

    def misfits(self, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """Sides that one tower cannot read."""
        yield from super().misfits(layouts, tasks)
        read = {name: list(_read(layout.joined())) for name, layout in layouts.items()}
        dims = [[dim for _, dim in parts] for parts in read.values()]
        if len(dims) == 2 and dims[0] != dims[1]:
            told = {name: ", ".join(f"{part} {dim}" for part, dim in parts) for name, parts in read.items()}
            text = (
                f"'{self.type}' reads both items by one tower, but 'user' has {told['user']}; and 'item' {told['item']}"
            )
            text += (
                "\nlist the same of both, in one order: in 'user' features with the embedding_name of those in 'item'"
            )
            yield Problem(text, self.place_of("user"))


class CoMetricLearningI2I(Matching):
    """Logit = <v_a, v_i> / T + b with ``v = W MLP(x)``, one tower for the item at hand a and for the other one i.

    The group `user` describes the item at hand.

    Shape:
        output: {"logit": (B,)}, before the sigmoid
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        mlp = MLP(self.width("item"), config)
        self.tower = nn.Sequential(mlp, linear(mlp.out, config.output_dim))

    def user(self, x: Embedded) -> Tensor:
        """(B, D), the vectors of the items at hand."""
        return self.tower(self.flat(x, "user"))  # type: ignore[no-any-return]

    def item(self, x: Embedded) -> Tensor:
        """(B, D), the vectors of the others."""
        return self.tower(self.flat(x, "item"))  # type: ignore[no-any-return]


def _read(layout: GroupLayout) -> Iterator[tuple[str, int]]:
    """What a group gives to a tower: names and widths."""
    for span in (*layout.fields, *layout.dense):
        yield span.name, span.dim
    for sequence in layout.sequences:
        for child in sequence.children:
            yield child.name, child.dim
