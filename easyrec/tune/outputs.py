"""What a study leaves in its folder: `best.yaml`, `trials.csv` and `report.html`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from easyrec.durable import write_text
from easyrec.report.environment import environment
from easyrec.report.tune_page import Axis, tune_page
from easyrec.tune.row import Row
from easyrec.tune.search import Search
from easyrec.tune.study import Study
from feature_generator.fitting.learned import carry

BEST, TABLE, REPORT = "best.yaml", "trials.csv", "report.html"


def write_best(search: Search, study: Study) -> Path:
    """Write the config of the best trial; before one has ended that of the best evaluation, else of the first point."""
    rows = study.rows()
    best = next(iter(study.best()), None) or _nearest(search, rows)
    values: Mapping[str, Any] = {} if best is None else best.values
    experiment = search.experiment(values)
    path = study.folder / BEST
    write_text(path, f"# {_about(search, best, rows)}\n{experiment.to_yaml()}")
    carry(experiment.features, path)
    return path


def _nearest(search: Search, rows: Sequence[Row]) -> Row | None:
    """Of trials that did not end, the one with the best evaluation."""
    first = search.objectives[0]
    told = [row for row in rows if first.name in row.outcome]
    choose = max if first.higher_is_better else min
    return choose(told, key=lambda row: row.outcome[first.name], default=None)


def _about(search: Search, best: Row | None, rows: Sequence[Row]) -> str:
    if best is None:
        return f"{search.name}: no trial has been evaluated yet; the first value of each space"
    told = ", ".join(f"{o.name} {best.outcome[o.name]:.6g}" for o in search.objectives if o.name in best.outcome)
    rest = "" if best.state == "complete" else ", which did not end"
    return f"{search.name}: trial {best.number} of {len(rows)}{rest}; {told} on valid"


def write_trials(search: Search, study: Study) -> Path:
    """Write the table of all trials."""
    rows = study.rows()
    metrics = list(dict.fromkeys([o.name for o in search.objectives] + [m for row in rows for m in row.outcome]))
    names = [p.name for p in search.parameters]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["trial", "state", *metrics, *names, "evaluations", "seconds", "reason"])
    for row in rows:
        told = [row.outcome.get(name, "") for name in metrics]
        drawn = [row.values.get(name, "") for name in names]
        reason = row.reason.splitlines()[0] if row.reason else ""
        table.writerow([row.number, row.state, *told, *drawn, len(row.curve), row.seconds, reason])
    path = study.folder / TABLE
    write_text(path, text.getvalue())
    return path


def write_report(search: Search, study: Study) -> Path:
    """Write the report."""
    found = {
        "name": search.name,
        "objectives": [(o.name, o.higher_is_better) for o in search.objectives],
        "trials": [asdict(row) for row in study.rows()],
        "best": [row.number for row in study.best()],
        "importance": study.importance(),
        "config": (study.folder / BEST).read_text(encoding="utf-8"),
        "environment": {**_settings(search), **environment()},
    }
    axes = [Axis(p.name, p.labels, log=p.log) for p in search.parameters]
    path = study.folder / REPORT
    write_text(path, tune_page(found, axes))
    return path


def _settings(search: Search) -> dict[str, str]:
    config = search.config
    return {
        "sampler": config.sampler.type,
        "pruner": config.pruned.type if len(search.objectives) == 1 else "none",
        "workers": str(config.workers),
        "seed": str(config.seed),
    }
