"""`report.html`: one self-contained file that shows what a run did.

It is written from what lies in the run's folder: `config.yaml`, `metrics.jsonl`, `metrics.json` and `report.json`
(curves, feature statistics, tables, timings, environment).
"""

from __future__ import annotations

import os
from pathlib import Path

from easyrec.report.page import page
from easyrec.report.run_files import RunFiles

__all__ = ["write_report"]


def write_report(run_dir: str | os.PathLike[str]) -> Path:
    """Write `report.html` into the folder of a run.

    Returns:
        Path of the report.

    Raises:
        RunError: The folder is not one of a run, or a file in it is damaged.
    """
    folder = Path(run_dir)
    text = page(RunFiles.read(folder))
    target = folder / "report.html"
    partial = folder / ".report.html.partial"
    partial.write_text(text, encoding="utf-8")
    partial.replace(target)
    return target
