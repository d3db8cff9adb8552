"""`report.html`: one self-contained file that shows what a run did.

It is written from what lies in the run's folder: `config.yaml`, `metrics.jsonl`, `metrics.json` and `report.json`
(curves, feature statistics, tables, timings, environment).
"""

from __future__ import annotations

import os
from pathlib import Path

from easyrec.durable import write_text
from easyrec.report.page import page
from easyrec.report.run_files import RunFiles

__all__ = ["write_report"]


def write_report(run_dir: str | os.PathLike[str]) -> Path:
    """Write `report.html` into the folder of a run.

    Returns:
        Path of the report.

    Raises:
        RunError: The folder is not one of a run, or a file in it is damaged; or the disk refuses, then a former report
            stays.
    """
    folder = Path(run_dir)
    text = page(RunFiles.read(folder))
    target = folder / "report.html"
    write_text(target, text)
    return target
