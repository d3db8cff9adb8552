"""The `export` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from feature_generator.config import StrictModel


class RequestShape(StrictModel):
    """The request that a bundle is made for."""

    items: int = Field(200, gt=0)
    """Candidates per user."""


class ExportConfig(StrictModel):
    """The `export` section."""

    precision: Literal["fp32"] = "fp32"
    """Precision of the dense part."""
    tables: Literal["fp32"] = "fp32"
    """Precision of the embedding tables."""
    max_auc_drop: float = Field(0.0005, ge=0.0)
    """How much AUC a lossy precision may cost; fp32 loses nothing and is not measured."""
    runtimes: list[Literal["torch_export"]] = Field(["torch_export"], min_length=1)
    """Runtimes to export for."""
    request: RequestShape = RequestShape()
    warmup_rows: int = Field(64, gt=0, le=10_000)
    """Raw rows kept in the bundle with their scores, replayed at every load."""
