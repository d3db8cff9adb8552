"""What a selection leaves in its folder: `best.yaml`, `features.csv` and `report.html`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from easyrec.durable import write_text
from easyrec.embedding.plan import plan_embeddings
from easyrec.report.environment import environment
from easyrec.report.select_page import select_page
from easyrec.tune.select.reduced import without
from easyrec.tune.select.selected import FeatureRow
from easyrec.tune.select.study import Study
from feature_generator.config import Document
from feature_generator.fitting.learned import carry

BEST, TABLE, REPORT = "best.yaml", "features.csv", "report.html"


def rows_of(study: Study) -> list[FeatureRow]:
    """What is known of each feature, those first that are worth most."""
    decision = study.decision
    plan = plan_embeddings(study.experiment.generator.outputs, study.experiment.model)
    dims = {feature: table.dim for table in plan.tables if ":" not in table.name for feature in table.features}
    rows = []
    for name, features in study.units.features.items():
        known: dict[str, Any] = {"embedding_dim": dims.get(features[0])}
        if study.dims is not None and features[0] in study.dims.after:
            known["proposed_dim"] = study.dims.after[features[0]]
        if decision is None:
            rows.append(FeatureRow(name, features, True, "not measured yet", **known))
            continue
        removed = decision.reduction.removed.get(name)
        reason = removed or decision.reduction.kept.get(name) or decision.notes.get(name) or _worth(study, name)
        importance = {m.method: m.importance[name] for m in study.measured if name in m.importance}
        known |= {"error": decision.measured.errors.get(name), "memory_mb": decision.costs.memory_mb.get(name, 0.0)}
        known["latency_ms"] = decision.costs.latency_ms.get(name, 0.0)
        rows.append(FeatureRow(name, features, removed is None, reason, importance, **known))
    first = decision.measured.method if decision else ""
    return sorted(rows, key=lambda row: -row.importance.get(first, 0.0))


def _worth(study: Study, name: str) -> str:
    assert study.decision is not None
    bound = study.decision.bounds.get(name)
    above = "" if bound is None else f", shuffled copies up to {bound:.3g}"
    return f"worth {study.decision.worth(name):.3g}{above}"


def best_document(study: Study) -> Document:
    """The config without what is removed."""
    removed = study.decision.reduction.removed if study.decision else {}
    found = without(study.document, study.units.all_of(removed))
    return study.dims.applied(found) if study.dims is not None and study.config.embedding_dims == "apply" else found


def write_best(study: Study, rows: Sequence[FeatureRow]) -> Path:
    """Write the config, its removed features as comments on top."""
    document = best_document(study)
    gone = [row for row in rows if not row.kept]
    lines = [f"{study.experiment.name}: {len(rows) - len(gone)} of {len(rows)} features"]
    if study.decision is None:
        lines[0] = f"{study.experiment.name}: no feature has been measured yet; all are here"
    lines += ["", *(f"removed {row.name}: {row.reason}" for row in gone)] if gone else []
    text = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    path = study.folder / BEST
    raw = {**document.raw, "name": study.experiment.name}
    write_text(path, text + yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, width=120))
    carry(study.experiment.features, path)
    return path


def write_table(study: Study, rows: Sequence[FeatureRow]) -> Path:
    """Write the table of all features."""
    methods = [measured.method for measured in study.measured]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    head = ["feature", "kept", "reason", *methods, "error", "memory_mb", "latency_ms", "embedding_dim", "proposed_dim"]
    table.writerow(head)
    for row in rows:
        told = [row.importance.get(method, "") for method in methods]
        costs = [f"{row.memory_mb:.6g}", f"{row.latency_ms:.6g}"]
        dims = ["" if dim is None else dim for dim in (row.embedding_dim, row.proposed_dim)]
        error = "" if row.error is None else row.error
        table.writerow([row.name, "yes" if row.kept else "no", row.reason, *told, error, *costs, *dims])
    path = study.folder / TABLE
    write_text(path, text.getvalue())
    return path


def _second_look(study: Study) -> dict[str, Any] | None:
    """What the second look gave, as the report shows it."""
    again = study.again
    if again is None:
        return None
    units = {unit: again.importance[unit] for unit in study.bounds_again}
    null = [worth for name, worth in again.importance.items() if name not in units]
    return {
        "unit": again.unit,
        "importance": units,
        "null": null,
        "bounds": study.bounds_again,
        "seconds": again.seconds,
    }


def write_report(study: Study, rows: Sequence[FeatureRow]) -> Path:
    """Write the report."""
    decision = study.decision
    found: Mapping[str, Any] = {
        "name": study.experiment.name,
        "rows": [asdict(row) for row in rows],
        "methods": [
            {
                "type": m.method,
                "unit": m.unit,
                "null": [] if (null := study.null(m)) is None else null.values,
                "bounds": study.bounds(m),
                "seconds": m.seconds,
                "base": m.base,
            }
            for m in study.measured
        ],
        "second_look": _second_look(study),
        "pairs": [] if decision is None else [[a, b, value] for (a, b), value in decision.pairs.items()],
        "verified": study.verified,
        "metric": study.experiment.watched.key if study.experiment.watched else "",
        "config": (study.folder / BEST).read_text(encoding="utf-8"),
        "environment": {**environment(), "copies": str(len(study.copies) if study.measured else 0)},
    }
    path = study.folder / REPORT
    write_text(path, select_page(found))
    return path
