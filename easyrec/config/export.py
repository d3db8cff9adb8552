"""The `export` section."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator
from typing_extensions import Self

from easyrec.config.compress import CODECS, unknown_tables, unordered, whole_name
from easyrec.errors import Problem, nearest
from feature_generator.config import Choice, StrictModel

TablePrecision = Literal["fp32", "fp16", "bf16", "int8"]
DEFAULT = "default"
"""In `tables`, the tables that are not named."""
NEEDED = {"int8": ("kernels", "onnx"), "bf16": ("aot_inductor",)}
"""The runtimes that have a precision."""
Runtime = Literal["torch_export", "onnx", "kernels", "aot_inductor"]


class RequestShape(StrictModel):
    """The request that a bundle is made for."""

    items: int = Field(200, gt=0)
    """Candidates per user."""


class ExportConfig(StrictModel):
    """The `export` section."""

    precision: Literal["fp32", "bf16", "int8"] = "fp32"
    """Precision of the dense part in the runtimes that have it: `int8` is that of our kernels and ONNX Runtime's, `bf16` AOTInductor's."""
    tables: TablePrecision | dict[Annotated[str, StringConstraints(min_length=1)], TablePrecision] = "fp32"
    """Precision of the embedding tables, of all or by name; `default` is that of tables without a name here."""
    compress: list[Annotated[Any, Choice(CODECS)]] = []
    """What makes the embedding tables smaller beside their precision, one codec after another."""
    max_auc_drop: float = Field(0.0005, ge=0.0, le=1.0)
    """How much AUC a lossy precision may cost any task; fp32 loses nothing and is not measured."""
    max_score_error: float = Field(0.01, ge=0.0)
    """How far a lossy precision may move any score; of compressed tables, where it is given."""
    gate_rows: int = Field(100_000, gt=0)
    """Held-out rows that a lossy precision is measured on, at most."""
    runtimes: Literal["auto"] | list[Runtime] = Field("auto", min_length=1)
    """Runtimes to export for; `auto`: those whose packages are installed, but machine code. `torch_export` always is."""
    runtime: Runtime | None = None
    """The runtime that serves unless the caller asks for another; default: the fastest."""
    sums_mb: float = Field(8.0, ge=0.0)
    """MiB of each process, at most, for what the runtime `kernels` computes ahead of small tables; 0: nothing."""
    request: RequestShape = RequestShape()
    warmup_rows: int = Field(64, gt=0, le=10_000)
    """Raw rows kept in the bundle with their scores, replayed at every load."""
    personal: list[str] = []
    """Raw columns about persons, whose values no request log of a server holds."""

    @field_validator("compress")
    @classmethod
    def _ordered(cls, value: list[Any]) -> list[Any]:
        wrong = unordered(value)
        if wrong:
            raise ValueError(wrong)
        return value

    @model_validator(mode="after")
    def _known(self) -> Self:
        listed = ["torch_export", *(["kernels", "onnx"] if self.runtimes == "auto" else self.runtimes)]
        if self.runtimes != "auto" and len(self.runtimes) > len(set(self.runtimes)):
            raise ValueError("'runtimes' lists one of them twice")
        if self.runtime is not None and self.runtime not in listed:
            raise ValueError(f"'runtime' is {self.runtime}, which 'runtimes' does not list")
        needed = NEEDED.get(self.precision, ())
        if needed and not set(needed) & set(listed):
            told = f"only {needed[0]} has: list it" if len(needed) == 1 else f"{' and '.join(needed)} have: list one"
            raise ValueError(f"'precision' is {self.precision}, which {told} under 'runtimes'")
        return self

    def tables_of(self, name: str) -> TablePrecision:
        """Precision of a table."""
        if isinstance(self.tables, str):
            return self.tables
        return self.tables.get(name, self.tables.get(whole_name(name), self.tables.get(DEFAULT, "fp32")))

    @property
    def score_bound(self) -> float | None:
        """How far compressed tables may move any score; None: as far as they do not cost too much AUC."""
        return self.max_score_error if "max_score_error" in self.model_fields_set else None

    def unknown(self, tables: list[str], columns: list[str]) -> list[Problem]:
        """Names in `tables` that no table has, and in `personal` that no feature reads."""
        named = [] if isinstance(self.tables, str) else [name for name in self.tables if name != DEFAULT]
        heads = {column.partition("__")[0] for column in columns if "__" in column}
        return (
            unknown_tables(self.compress, tables)
            + [
                Problem(f"no table is called '{name}'{nearest(name, [DEFAULT, *tables])}", f"export.tables.{name}")
                for name in named
                if name not in tables
            ]
            + [
                Problem(f"no feature reads a column '{name}'{nearest(name, columns)}", f"export.personal.{place}")
                for place, name in enumerate(self.personal)
                if name not in heads.union(columns)
            ]
        )
