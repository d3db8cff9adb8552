"""`autoint`: self-attention between fields; with an MLP it is AutoInt+."""

from __future__ import annotations

from typing import Literal

from torch import nn

from easyrec.models._attended import Attended, AttendedConfig
from easyrec.modules.field_attention import FieldAttention


class Config(AttendedConfig):
    """Config of `autoint`."""

    type: Literal["autoint"] = "autoint"
    residual: bool = True
    """Add to each attention layer its own input."""
    attention_norm: bool = False
    """Normalise each field over its units after each attention layer."""


class AutoInt(Attended):
    """Logit = w . attention(fields) + u . MLP(fields, dense inputs) + first-order weights; the last two are optional.

    Without both the dense inputs stand beside the attended fields.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Song et al., "AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural Networks", CIKM 2019,
        eq. (5)-(9), and section 5.5 for the deep part.
    """

    def layers(self) -> nn.Module:
        """Self-attention."""
        config, found, width = self.config, list[nn.Module](), self.dim()
        for _ in range(config.attention_layers):
            found.append(
                FieldAttention(
                    width, self.num_fields(), config, residual=config.residual, layer_norm=config.attention_norm
                )
            )
            width = config.attention_dim
        return nn.Sequential(*found)
