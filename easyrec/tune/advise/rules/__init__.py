"""Rules of advice: one file per rule, called like it.

The first line of a rule's class says what it looks for; the table in docs/guide/advice.md is made of these lines. A rule
sees the evidence and proposes; it changes nothing, and whether its settings can be applied is seen to around it. It stays
silent where it is not sure: what is told on a healthy config is the end of all advice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Literal, TypeAlias

from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.proposal import Proposal

Need: TypeAlias = Literal["config", "data", "profile", "run", "study"]
"""What a rule reads beside the config."""


class Rule(ABC):
    """Something that may be wrong.

    Attributes:
        needs: What it reads; without it the rule is left out.
    """

    needs: ClassVar[Need]

    @abstractmethod
    def look(self, evidence: Evidence) -> Iterator[Proposal]:
        """What is found, if anything.

        Args:
            evidence: What is known; what `needs` names is there.
        """
