"""`dat`: two towers, each with a vector of its id that learns what the other side thinks of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, TaskConfig
from easyrec.errors import Problem, nearest
from easyrec.layout import GroupLayout
from easyrec.losses._loss import mean
from easyrec.models._matching import Matching, MatchingConfig
from easyrec.modules.mlp import MLP, MLPConfig, linear


class Config(MLPConfig, MatchingConfig):
    """Config of `dat`; the keys of an MLP are those of both towers."""

    item_groups: ClassVar[tuple[str, ...]] = ("item", "item_augmented")

    type: Literal["dat"] = "dat"
    output_dim: int = Field(64, gt=0)
    """D, the width of the vectors that are compared, and of the augmented ones."""
    mimic_user: float = Field(0.5, ge=0.0)
    """Weight of the loss that makes a user's augmented vector like the items that it took."""
    mimic_item: float = Field(0.5, ge=0.0)
    """Weight of the loss that makes an item's augmented vector like the users that took it."""
    category: str | None = None
    """Feature of `item` whose categories are to vary alike; those are told apart by their embeddings."""
    alignment: float = Field(1.0, ge=0.0)
    """Weight of the loss that makes categories vary alike."""

    @model_validator(mode="after")
    def _aligns_categories(self) -> Self:
        if self.category is None:
            self.refuse(
                ["alignment"], "weighs the loss over categories: name the feature that tells them, as 'category'"
            )
        return self

    def misfits(self, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """A category that cannot be told."""
        yield from super().misfits(layouts, tasks)
        if self.category is None or "item" not in layouts:
            return
        known = [span.name for span in layouts["item"].fields]
        if self.category not in known:
            text = f"'{self.category}' is no feature with an embedding in 'item'{nearest(self.category, known)}"
            yield Problem(f"{text}\nknown: {', '.join(known) or 'none'}", "model.category")
        elif self.groups and self.groups["item"].feature_wise:
            text = "categories are told apart by their embeddings, which 'feature_wise' changes from row to row"
            yield Problem(f"{text}\nleave out one of them", "model.category")

    def uses(self) -> dict[str, GroupUse]:
        """All of `user` and of `item`, and the ids that have augmented vectors."""
        return {
            "user": GroupUse(about="user"),
            "item": GroupUse(about="item"),
            "user_augmented": GroupUse(about="user", own=True),
            "item_augmented": GroupUse(about="item", own=True),
        }


class DAT(Matching):
    """Logit = <u, v> / T + b with ``u = W_u MLP_u([x_u, a_u])`` and ``v = W_v MLP_v([x_v, a_v])``.

    The augmented vectors a are embeddings of a group of their own, brought to width D where they have another. While it
    trains, ``|a_u - v|^2`` and ``|a_v - u|^2`` of a user and an item that it took are losses of a_u and a_v alone: so
    each tower is told something of the other side and still reads nothing of it. The covariances C of the item vectors
    of each category are drawn to that of the category with the most items in the batch, ``|C_major - C_c|_F^2``.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Yu et al., "A Dual Augmented Two-tower Model for Online Large-scale Recommendation", DLP-KDD 2021, section 2.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.augmented = nn.ModuleDict({side: self._augmented(f"{side}_augmented") for side in ("user", "item")})
        self.user_tower, self.item_tower = self._tower("user"), self._tower("item")

    def _augmented(self, group: str) -> nn.Module:
        width, dim = self.width(group), self.config.output_dim
        return nn.Identity() if width == dim and not self.layouts[group].dense else linear(width, dim, bias=False)

    def _tower(self, side: str) -> nn.Sequential:
        mlp = MLP(self.width(side) + self.config.output_dim, self.config)
        return nn.Sequential(mlp, linear(mlp.out, self.config.output_dim))

    def user(self, x: Embedded) -> Tensor:
        """(B, D), the users' vectors."""
        return self.user_tower(torch.cat([self.flat(x, "user"), self._vector(x, "user")], dim=1))  # type: ignore[no-any-return]

    def item(self, x: Embedded) -> Tensor:
        """(B, D), the items' vectors."""
        return self.item_tower(torch.cat([self.flat(x, "item"), self._vector(x, "item")], dim=1))  # type: ignore[no-any-return]

    def _vector(self, x: Embedded, side: str) -> Tensor:
        """(B, D), the augmented vectors."""
        return self.augmented[side](self.flat(x, f"{side}_augmented"))  # type: ignore[no-any-return]

    def noted(self, x: Embedded, positions: Tensor, items: Tensor) -> dict[str, Tensor]:
        """(P,), how far augmented vectors are from what they mimic, and how differently categories vary."""
        if not self.training:
            return {}
        users, own, of_items = self._vector(x, "user").float(), items, self._vector(x, "item").float()
        if x.matches is not None:
            own = items.index_select(0, x.matches.targets)
            of_items = of_items.index_select(0, x.matches.targets)
        found = {
            "mimic_user": (users - own.detach()).square().sum(dim=1),
            "mimic_item": (of_items - positions.detach()).square().sum(dim=1),
        }
        if self.config.category is not None:
            category = x.feature("item", self.config.category).detach()
            found["alignment"] = alignment(items, torch.unique(category, dim=0, return_inverse=True)[1])
        return found

    def auxiliary(
        self, outputs: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Tensor | None
    ) -> dict[str, Tensor]:
        """The mimic losses, means over what was taken, and the alignment of categories."""
        found = super().auxiliary(outputs, labels, weights)
        label = labels.get(self.tasks[0].label)  # none where all rows are what users took
        if label is not None:
            taken = (label > 0).to(label.dtype)
            weights = taken if weights is None else weights * taken
        for name in ("mimic_user", "mimic_item"):
            found[name] = mean(outputs[name], weights) * getattr(self.config, name)
        if "alignment" in outputs:
            found["alignment"] = outputs["alignment"] * self.config.alignment
        return found


def alignment(items: Tensor, codes: Tensor) -> Tensor:
    """Scalar, ``sum_c |C_major - C_c|_F^2`` over the categories with two items or more, C the covariance of their vectors.

    Args:
        items: (B, D).
        codes: (B,) int64, the category of each, from 0 on without a gap.

    Source:
        Yu et al., DLP-KDD 2021, the category alignment loss, after Sun and Saenko, "Deep CORAL", ECCV 2016.
    """
    counts = torch.bincount(codes)
    several = counts > 1
    if not bool(several.any()):
        return items.sum() * 0.0
    share = 1.0 / counts.to(items.dtype)
    means = items.new_zeros((counts.shape[0], items.shape[1])).index_add(0, codes, items) * share.unsqueeze(1)
    rest = items - means.index_select(0, codes)
    products = rest.unsqueeze(2) * rest.unsqueeze(1)  # (B, D, D)
    covariances = torch.zeros_like(products[:1]).expand(counts.shape[0], -1, -1).index_add(0, codes, products)
    covariances = covariances * share.view(-1, 1, 1)
    return (covariances[several] - covariances[counts.argmax()]).square().sum()
