"""`unknown_words`: vocabularies that do not know the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from easyrec.tune.advise.counting import round_up
from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Need, Rule

UNKNOWN = 0.2
"""Share of values outside of the vocabulary from which on it is told."""


class UnknownWords(Rule):
    """A vocabulary lacks many of the words that come."""

    needs: ClassVar[Need] = "data"

    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """See the family's contract."""
        if evidence.experiment.generator.mode == "encoded":
            return
        for output, spec in evidence.used.items():
            key, ids = getattr(spec.config, "vocabulary_key", ""), evidence.train.ids(output)
            if not key or ids is None or not len(ids.values):
                continue
            other = 1 if spec.config.default_bucketize_value is None else spec.config.default_bucketize_value
            share = float((ids.values == other).mean())
            if share < UNKNOWN:
                continue
            spot, words = evidence.spots[output], spec.num_embeddings or 1
            off: dict[str, object] = (
                {} if spec.config.default_bucketize_value is None else {spot.key("default_bucketize_value"): None}
            )
            yield Proposal(
                "high" if share > 0.5 else "medium",
                spot.key(key),
                f"{share:.0%} of the values in {evidence.train.rows:,} rows are none of the {words:,} words",
                "all unknown words share one embedding, so the feature tells them apart no longer",
                "what the feature has to say is learned; nobody knows beforehand how much that is. A vocabulary that is made anew "
                "(easyrec fg fit) does the same",
                {spot.key(key): None, **off, spot.key("hash_bucket_size"): round_up(20 * words)}
                if len(evidence.together(output)) == 1
                else {},
                spot.outputs[0],
            )
