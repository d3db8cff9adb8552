"""`device` of a model in `serving.yaml`, and of `Predictor`. Knows no torch."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from feature_generator.config import StrictModel


class DeviceConfig(StrictModel):
    """Where the programs of a bundle run; `device: cuda` is short for `device: {name: cuda}`."""

    name: str
    """`cuda` and `cuda:<number>` need that GPU; `auto` takes a GPU where there is one."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the products of matrices; `bf16` wants the bundle's own tolerance for it, or `tolerance`."""
    tolerance: float | None = Field(None, gt=0.0)
    """How far scores may lie from the trained ones; default: what the bundle says."""
    tables: Literal["auto", "gpu", "cpu"] = "auto"
    """Where embedding tables are looked up; `auto`: where a request is answered sooner."""
    dense: Literal["auto", "gpu"] = "auto"
    """Where programs run; `auto`: requests of sizes that the processor answers sooner stay with it."""
    graphs: bool = True
    """Capture the work of each size in a CUDA graph."""
    sessions: int = Field(4, ge=1, le=64)
    """Requests that the GPU is given at a time, each on a stream of its own."""
    graph_rows: int = Field(16_384, ge=1)
    """Requests of more rows run without a graph."""
    memory_mb: int | None = Field(None, ge=1)
    """How much tables may take there; default: 70 % of what is free."""

    @field_validator("name")
    @classmethod
    def _a_device_is_known(cls, value: str) -> str:
        if not re.fullmatch(r"cpu|auto|cuda(:\d+)?", value):
            raise ValueError(f"must be 'cpu', 'cuda', 'cuda:<number>' or 'auto', but is {value!r}")
        return value

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value
