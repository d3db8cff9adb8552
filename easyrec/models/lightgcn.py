"""`lightgcn`: matrix factorization of embeddings that are spread over the graph of users and items."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from easyrec.config.model import GroupUse, Init, XavierInit
from easyrec.models import bpr_mf


class Config(bpr_mf.Config):
    """Config of `lightgcn`."""

    type: Literal["lightgcn"] = "lightgcn"  # type: ignore[assignment]
    layers: int = Field(3, ge=1, le=10)
    """K, how far embeddings are spread."""
    embedding_init: Init = XavierInit()

    def uses(self) -> dict[str, GroupUse]:
        """The id of the user and that of the item."""
        return {name: use.model_copy(update={"alone": True}) for name, use in super().uses().items()}

    def propagated_layers(self) -> int | None:
        """K."""
        return self.layers


class LightGCN(bpr_mf.BPRMF):
    """Logit = <e_u, e_i> / T + b with ``e = (e^0 + .. + e^K) / (K + 1)`` and ``e_u^{k+1} = sum_{i in N_u} e_i^k / sqrt(|N_u| |N_i|)``.

    So for items, N_u being what the user took in training and N_i who took the item. The lookup gives e:
    `easyrec.embedding.propagated` makes it of e^0, which is what is trained.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", SIGIR 2020,
        eq. (3)-(5).
    """
