"""The `export` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from feature_generator.config import StrictModel


class RequestShape(StrictModel):
    """The request that runtimes are timed on."""

    items: int = Field(200, gt=0)


class ExportConfig(StrictModel):
    """The `export` section."""

    precision: Literal["fp32"] = "fp32"
    tables: Literal["fp32"] = "fp32"
    max_auc_drop: float = Field(0.0005, ge=0.0)
    runtimes: list[Literal["torch_export"]] = ["torch_export"]
    request: RequestShape = RequestShape()
    warmup_rows: int = Field(64, gt=0)
    """Raw rows kept in the bundle with their scores, replayed at every load."""
