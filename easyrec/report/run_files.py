"""What a run's folder holds for its report. Every part may be missing: the report shows what there is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from easyrec.errors import RunError


@dataclass(frozen=True)
class RunFiles:
    """A run's folder, read.

    Attributes:
        name: The run's name.
        config: `config.yaml` as text.
        evaluations: Lines of `metrics.jsonl`.
        progress: Lines of `progress.jsonl`: the loss between evaluations.
        metrics: `metrics.json`: `{"valid": {...}, "test": {...}, "best_step": ..., "seconds": ...}`.
        details: `report.json`: `curves`, `features`, `tables`, `environment`, `timings`, `training`.
    """

    name: str
    config: str = ""
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    progress: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def read(folder: Path) -> RunFiles:
        """Read the folder of a run.

        Raises:
            RunError: It is not the folder of a run, or a file in it is damaged.
        """
        config = folder / "config.yaml"
        if not config.is_file():
            raise RunError(f"{folder}: not the folder of a run, it has no config.yaml")
        return RunFiles(
            folder.resolve().name,
            config.read_text(encoding="utf-8"),
            _lines(folder / "metrics.jsonl"),
            _lines(folder / "progress.jsonl"),
            _file(folder / "metrics.json"),
            _file(folder / "report.json"),
        )


def _lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [_json(line, path) for line in text.splitlines() if line.strip()]


def _file(path: Path) -> dict[str, Any]:
    return _json(path.read_text(encoding="utf-8"), path) if path.is_file() else {}


def _json(text: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise RunError(f"{path}: damaged: {error}") from None
    if not isinstance(value, dict):
        raise RunError(f"{path}: damaged: not a JSON object")
    return value
