"""`faithfulness`: the share of an answer's claims that what the model was shown supports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from easyrec.llm.judging import Matter
from rag.cleaning import CITED
from rag.evaluation.case import Case, excerpts
from rag.evaluation.metrics import FAILED, SKIPPED, Measured, MetricConfig, State, Tools
from rag.evaluation.verdicts import MOST, check

RULES = """You take an answer apart. List the claims that it makes, each a short sentence that can be understood and checked by itself:
no pronouns, nothing that the answer does not say, nothing of the question that it does not claim. An answer that claims nothing has
an empty list."""


class Claims(BaseModel):
    """What an answer says."""

    claims: list[str] = Field(max_length=400)


class Config(MetricConfig):
    """Config of `faithfulness`.

    The judge lists the claims of an answer without seeing what it rests on, then looks for each of them in what the model was
    shown. An answer that says that the documents do not say it claims nothing.

    Source:
        Es et al., "RAGAS: automated evaluation of retrieval augmented generation", EACL 2024, section 3.
    """

    type: Literal["faithfulness"] = "faithfulness"
    needs: ClassVar[frozenset[str]] = frozenset({"answer", "judge"})

    def measure(self, cases: Sequence[Case], tools: Tools) -> list[Measured]:
        """The share of claims; of answers that have some."""
        assert tools.judge is not None
        found = [FAILED if case.failed else SKIPPED for case in cases]
        asked = [n for n, case in enumerate(cases) if case.answered is not None and case.answered.known]
        matters = [
            Matter(RULES, [{"question": cases[n].question.question}, {"answer": _bare_of_numbers(cases[n])}], Claims)
            for n in asked
        ]
        with_claims: list[tuple[int, list[str]]] = []
        for number, said in zip(asked, tools.judge.each(matters, votes=1), strict=True):
            claims = [claim.strip() for claim in said.values[0].claims if claim.strip()] if said.values else []
            if not said.values:
                state: State = "refused" if said.refused else "unparsed"
                found[number] = Measured(None, state)
            elif claims:
                with_claims.append((number, claims[:MOST]))
        shown = [(claims, excerpts(cases[number].shown()), None) for number, claims in with_claims]
        for (number, _), value in zip(with_claims, check(tools.judge, shown), strict=True):
            found[number] = value
        return found


def _bare_of_numbers(case: Case) -> str:
    """An answer without the numbers of what it cites."""
    assert case.answered is not None
    return CITED.sub("", case.answered.text).strip()
