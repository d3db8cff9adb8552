"""`whole_tables`: steps that go over all rows of large tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

LARGE = 5_000_000
"""Weights of all tables from which on it is told."""


class WholeTables(Rule):
    """Each step changes every row of large tables: exact `adam`, or an `embedding_regularizer`."""

    needs: ClassVar[Need] = "config"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        train, weights = evidence.experiment.train, evidence.built.plan.parameters
        if weights < LARGE:
            return
        spent = ""
        if evidence.profile is not None:
            parts = evidence.profile["parts"]
            share = (
                parts.get("update of the tables", 0.0) + parts.get("regularizer and clipping", 0.0)
            ) / evidence.profile["seconds"]
            spent = f"; the update took {share:.0%} of {evidence.profile['steps']} steps"
        traffic = 24 * weights / 1e9
        if train.sparse_optimizer.type == "adam":
            betas = (
                {"betas": list(train.sparse_optimizer.betas)}
                if "betas" in train.sparse_optimizer.model_fields_set
                else {}
            )
            schedule = train.sparse_optimizer.schedule.model_dump(mode="json", exclude_unset=True)
            schedule = {"schedule": {"type": train.sparse_optimizer.schedule.type, **schedule}}
            yield Proposal(
                "medium",
                "train.sparse_optimizer",
                f"tables of {weights:,} weights under exact adam{spent}",
                f"every step reads and writes all of them with both moments, {traffic:,.1f} GB, however few rows a batch has",
                "the update takes time by the rows of the batch alone, as a rule many times faster; quality differs a little either "
                "way, as rows that are not met keep still",
                {"train.sparse_optimizer": {"type": "lazy_adam", "lr": train.sparse_optimizer.lr, **betas, **schedule}},
                "adam",
            )
        if train.embedding_regularizer:
            yield Proposal(
                "low",
                "train.embedding_regularizer",
                f"a regularizer over whole tables of {weights:,} weights{spent}",
                "every step goes over all of them, however few rows a batch has",
                "steps become many times faster; dropout, fewer epochs or smaller embeddings hold overfitting down instead, and valid "
                "tells whether they do",
                {"train.embedding_regularizer": 0.0},
                "regularizer",
            )
