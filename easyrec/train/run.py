"""What a finished run leaves to its caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easyrec.errors import RunError
from easyrec.train.run_folder import read_json


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        metrics: As in metrics.json: `{"valid": {"auc": ...}, "test": {...}, "best_step": ..., "seconds": ...}`.
        path: Its folder.
        bundle: The exported bundle, None where there is none.
        report: `report.html`, None where there is none.
    """

    metrics: Mapping[str, Any]
    path: Path
    bundle: Path | None = None
    report: Path | None = None

    @staticmethod
    def load(path: str | Path) -> Run:
        """The finished run in a folder.

        Raises:
            RunError: The folder holds no finished run.
        """
        folder = Path(path)
        metrics = read_json(folder / "metrics.json")
        if metrics is None:
            raise RunError(f"{folder}: holds no finished run")
        bundle, report = folder / "bundle", folder / "report.html"
        return Run(metrics, folder, bundle if bundle.is_dir() else None, report if report.is_file() else None)

    def summary(self) -> list[tuple[str, ...]]:
        """The final table: a head row, then one row per metric with its value on each part."""
        parts = [part for part in ("valid", "test") if isinstance(self.metrics.get(part), Mapping)]
        names = dict.fromkeys(name for part in parts for name in self.metrics[part])
        rows = [(name, *(_number(self.metrics[part].get(name)) for part in parts)) for name in names]
        return [("metric", *parts), *rows]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5f}"
