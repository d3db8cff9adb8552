"""Export: a trained model as a bundle. Reading one (`bundle`, `manifest`, `warmup`, `scoring`) knows no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from easyrec.export.assembly import export_bundle

__all__ = ["export_bundle"]


def __getattr__(name: str) -> Any:
    if name == "export_bundle":
        from easyrec.export.assembly import export_bundle  # noqa: PLC0415 (torch stays out until something is exported)

        return export_bundle
    raise AttributeError(f"module 'easyrec.export' has no attribute '{name}'")
