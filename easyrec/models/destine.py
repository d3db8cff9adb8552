"""`destine`: disentangled self-attention between fields, with an MLP and a linear part beside it."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from easyrec.models._attended import Attended, AttendedConfig
from easyrec.modules.disentangled import DisentangledAttention
from easyrec.modules.mlp import Widths, linear


class Config(AttendedConfig):
    """Config of `destine`."""

    type: Literal["destine"] = "destine"
    hidden: Widths = [256, 128]
    """Widths of the deep part, input side first; empty: no deep part."""
    linear: bool = True
    """Add first-order weights."""
    residual: Literal["each", "last", "none"] = "each"
    """Add to each attention layer a map of its input, to the last one a map of the fields, or neither."""


class DESTINE(Attended):
    """Logit = w . attention(fields) + u . MLP(fields, dense inputs) + first-order weights; the last two are optional.

    Without both the dense inputs stand beside the attended fields.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Xu et al., "Disentangled Self-Attentive Neural Networks for Click-Through Rate Prediction", CIKM 2021,
        eq. (4)-(12).
    """

    def layers(self) -> nn.Module:
        """Disentangled self-attention."""
        config, units = self.config, self.config.attention_dim
        attention = nn.Sequential(
            *(
                DisentangledAttention(
                    units if layer else self.dim(), self.num_fields(), config, residual=config.residual == "each"
                )
                for layer in range(config.attention_layers)
            )
        )
        self.map = linear(self.dim(), units, bias=False) if config.residual == "last" else None
        return attention

    def attended(self, fields: Tensor) -> Tensor:
        """The fields after attention, with `residual: last` beside a map of what they were."""
        attended = super().attended(fields)
        return attended if self.map is None else attended + self.map(fields)
