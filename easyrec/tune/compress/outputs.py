"""What a search for compression leaves in its folder: `best.yaml`, `candidates.csv` and `report.html`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyrec.config import Experiment
from easyrec.durable import write_text
from easyrec.report.compress_page import compress_page
from easyrec.report.environment import environment
from feature_generator.fitting.learned import carry

if TYPE_CHECKING:
    from easyrec.tune.compress.api import Compressed

BEST, TABLE, REPORT = "best.yaml", "candidates.csv", "report.html"


def write_best(folder: Path, experiment: Experiment, about: str) -> Path:
    """Write the config of what is best."""
    path = folder / BEST
    write_text(path, f"# {about}\n{experiment.to_yaml()}")
    carry(experiment.features, path)
    return path


def told(found: Compressed) -> list[dict[str, Any]]:
    """All that was measured as plain data."""
    return [
        {
            "name": one.candidate.name,
            "bytes": one.bytes,
            "smaller": found.bytes / one.bytes if one.bytes else None,
            "auc": dict(one.auc),
            "auc_drop": dict(one.auc_drop),
            "seconds": one.seconds,
            "reason": one.reason,
            "best": one is found.best,
            "settings": one.candidate.settings,
        }
        for one in found.tried
    ]


def write_table(found: Compressed) -> Path:
    """Write the table of all that was measured."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    tasks = list(found.auc)
    table.writerow(
        ["candidate", "bytes", "times_smaller", *[f"auc_drop/{t}" for t in tasks], "seconds", "reason", "settings"]
    )
    for row in told(found):
        smaller = f"{row['smaller']:.4f}" if row["smaller"] else ""
        drops = [f"{row['auc_drop'][t]:.6f}" if t in row["auc_drop"] else "" for t in tasks]
        settings = json.dumps(row["settings"])
        table.writerow([row["name"], row["bytes"], smaller, *drops, f"{row['seconds']:.2f}", row["reason"], settings])
    path = found.path / TABLE
    write_text(path, text.getvalue())
    return path


def write_report(found: Compressed, experiment: Experiment) -> Path:
    """Write the report."""
    page = {
        "name": experiment.name,
        "model": experiment.model.type,
        "target": found.target,
        "bound": experiment.export.max_auc_drop,
        "bytes": found.bytes,
        "auc": dict(found.auc),
        "tried": told(found),
        "reached": found.reached,
        "config": found.config.read_text(encoding="utf-8"),
        "environment": environment(),
    }
    write_text(found.report, compress_page(page))
    return found.report
