"""`rankmixer`: tokens of features that exchange slices, with a layer per token between the exchanges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from easyrec.batch import Embedded
from easyrec.config.model import ModelConfig, TaskConfig
from easyrec.layout import GroupLayout
from easyrec.models._model import Head, Model
from easyrec.modules.token_mixer import MixerBlock, Tokens
from feature_generator.config import fault


class Config(ModelConfig):
    """Config of `rankmixer`."""

    type: Literal["rankmixer"] = "rankmixer"
    tokens: int = Field(8, gt=1)
    """Tokens into which the inputs of a row are cut."""
    dim: int = Field(64, gt=0)
    """Width of a token; `tokens` must divide it."""
    blocks: int = Field(2, gt=0)
    """Blocks of an exchange and a layer per token."""
    expansion: int = Field(2, gt=0)
    """Width of a token's hidden layer over `dim`."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of zeroing a hidden unit while training."""

    @model_validator(mode="after")
    def _tokens_divide(self) -> Self:
        if self.dim % self.tokens:
            raise fault(f"'tokens' must divide 'dim', but {self.tokens} does not divide {self.dim}", "tokens")
        return self


class RankMixer(Model):
    """Logit = w . mean_t x_t + b of the tokens x after all blocks.

    The tokens are equal slices of all embeddings and dense inputs of `deep`, of any dims.

    Shape:
        output: {"logit": (B,)}, before the sigmoid

    Source:
        Zhu et al., "RankMixer: Scaling Up Ranking Models in Industrial Recommenders", 2025, section 3.
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.cut = Tokens(self.width(), config.tokens, config.dim)
        blocks = (MixerBlock(config.tokens, config.dim, config.expansion, config.dropout) for _ in range(config.blocks))
        self.blocks = nn.Sequential(*blocks)
        self.head = Head(tasks, config.dim)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        tokens = self.blocks(self.cut(self.flat(x)))  # (T, B, dim)
        return self.head(tokens.mean(dim=0))
