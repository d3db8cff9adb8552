"""`bpr_mf`: matrix factorization, learned by pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from torch import Tensor, nn

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, TaskConfig
from easyrec.errors import Problem
from easyrec.layout import GroupLayout
from easyrec.losses.sampled.bpr import Config as BPRConfig
from easyrec.models._matching import Matching, MatchingConfig
from easyrec.modules.mlp import linear
from feature_generator.config import Choice


class Config(MatchingConfig):
    """Config of `bpr_mf`."""

    type: Literal["bpr_mf"] = "bpr_mf"
    similarity: Literal["cosine", "dot"] = "dot"
    loss: Annotated[Any, Choice("easyrec.losses.sampled")] | None = BPRConfig()
    """What training with `data.sampler` minimises."""

    def uses(self) -> dict[str, GroupUse]:
        """All of `user` and of `item`, embeddings of equal dims."""
        return {name: use.model_copy(update={"equal_dims": True}) for name, use in super().uses().items()}

    def misfits(self, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """Sides that cannot be multiplied."""
        yield from super().misfits(layouts, tasks)
        dims = {name: {span.dim for span in layout.joined().fields} for name, layout in layouts.items()}
        if len(dims) == 2 and all(len(found) == 1 for found in dims.values()) and dims["user"] != dims["item"]:
            (user,), (item,) = dims["user"], dims["item"]
            text = f"'{self.type}' multiplies user and item, but the embeddings of 'user' have dim {user}, those of 'item' {item}"
            yield Problem(text, self.place_of("item"))


class BPRMF(Matching):
    """Logit = <p_u, q_i> / T + b, where p and q are the sums of the embeddings of a side's features.

    Of the user's id and the item's alone it is matrix factorization. Dense inputs add a linear map of theirs.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009, section 4.3.1; with further
        features Chen et al., "SVDFeature", JMLR 2012, eq. (2).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.of_dense = nn.ModuleDict(
            {
                name: linear(layout.dense_width, self.dim(name), bias=False)
                for name, layout in self.layouts.items()
                if layout.dense
            }
        )

    def user(self, x: Embedded) -> Tensor:
        """(B, D), the users' factors."""
        return self._summed(x, "user")

    def item(self, x: Embedded) -> Tensor:
        """(B, D), the items' factors."""
        return self._summed(x, "item")

    def _summed(self, x: Embedded, group: str) -> Tensor:
        factors = self.fields(x, group).sum(dim=1)
        return factors + self.of_dense[group](x.dense(group)) if group in self.of_dense else factors
