"""What a search leaves in its folder: `best.yaml`, `proposals.csv`, `report.html`, and the tables of aggregates."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from easyrec.config import Experiment
from easyrec.durable import write_text
from easyrec.errors import ConfigError
from easyrec.report.cross_page import cross_page
from easyrec.report.environment import environment
from easyrec.tune.cross.applied import applied
from easyrec.tune.cross.heat import heat
from easyrec.tune.cross.proposal import Proposal
from easyrec.tune.cross.session import Session
from feature_generator import FeatureGenerator
from feature_generator.fitting.learned import carry
from feature_generator.profiling import profile

BEST, TABLE, REPORT, TABLES = "best.yaml", "proposals.csv", "report.html", "tables"
MAPS = 6
"""Heat maps: of the crosses that gain most."""


def write_best(folder: Path, experiment: Experiment, proposals: Sequence[Proposal], about: str) -> list[Proposal]:
    """Write the config with what is accepted; what the model cannot take is rejected.

    Returns:
        The proposals as they are now.
    """
    taken: list[Proposal] = []
    made = applied(experiment, taken)
    settled = []
    for proposal in proposals:
        if proposal.accepted:
            try:
                made = applied(experiment, [*taken, proposal])
                taken.append(proposal)
            except ConfigError as error:
                proposal = proposal.rejected(f"the model cannot take it: {error.problems[0].message.splitlines()[0]}")  # noqa: PLW2901 (the same, settled)
        settled.append(proposal)
    write_text(folder / BEST, f"# {about}\n{made.to_yaml()}")
    carry(made.features, folder / BEST)
    return settled


def costed(proposals: Sequence[Proposal], session: Session) -> list[Proposal]:
    """The proposals with what they cost: memory of their tables, and time of the generator."""
    experiment = session.searched.experiment
    default = getattr(experiment.model, "embedding_dim", None) or 1
    found = []
    for proposal in proposals:
        if not proposal.features or not math.isnan(proposal.micros):
            found.append(proposal)
            continue
        config: dict[str, Any] = {"features": list(proposal.features), "hash": experiment.hash}
        generator = FeatureGenerator.load(config)
        _, whole = profile(generator, [session.searched.sample], rounds=3)
        dim = proposal.features[-1].get("embedding_dim") or default
        size = proposal.rows * dim * 4 + proposal.entries * 24
        found.append(replace(proposal, micros=whole.micros, memory_mb=size / 1e6))
    return found


def write_proposals(folder: Path, proposals: Sequence[Proposal]) -> None:
    """Write the table of all proposals."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    numbers = ("gain", "error", "auc", "auc_error", "valid", "valid_error", "memory_mb", "micros")
    heads = ("gain", "gain_error", "auc_gain", "auc_error", "valid_gain", "valid_error", "memory_mb", "us_per_1000")
    table.writerow(["state", "kind", "name", "columns", *heads, "table_rows", "reason"])
    for proposal in proposals:
        told = ["" if math.isnan(getattr(proposal, key)) else f"{getattr(proposal, key):.6g}" for key in numbers]
        reads = " ".join(proposal.reads)
        table.writerow(
            [proposal.state, proposal.kind, proposal.name, reads, *told, proposal.rows or "", proposal.reason]
        )
    write_text(folder / TABLE, text.getvalue())


def write_report(folder: Path, session: Session, proposals: Sequence[Proposal], name: str) -> None:
    """Write the report."""
    searched, beam = session.searched, session.beam
    crosses = [p for p in proposals if p.kind == "cross" and p.accepted and len(p.reads) == 2]
    nodes = [] if beam is None else [
        {
            "number": node.number,
            "parent": node.parent,
            "crosses": [" x ".join(cross) for cross in node.crosses],
            "gain": node.gain.value,
            "error": node.gain.error,
            "loss": node.loss,
            "state": "best" if node is beam.best else node.state,
        }
        for node in beam.nodes
    ]  # fmt: skip
    found = {
        "name": name,
        "proposals": [{**proposal.plain(), "z": proposal.z} for proposal in proposals],
        "nodes": nodes,
        "quality": session.quality(),
        "maps": [heat(session, p.reads) for p in crosses[:MAPS]],
        "left_out": searched.left_out,
        "unfinished": session.unfinished,
        "config": (folder / BEST).read_text(encoding="utf-8"),
        "environment": {
            "rows": f"{searched.fit.stop:,} to fit, {searched.judge.stop - searched.judge.start:,} to judge, "
            f"{searched.valid.stop - searched.valid.start:,} of valid",
            "rows of train": f"{searched.total:,}",
            "seconds": f"{session.seconds:.0f}",
            **environment(),
        },
    }
    write_text(folder / REPORT, cross_page(found))
