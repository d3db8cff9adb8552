"""`citation_precision`: the share of an answer's citations that say what they are cited for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from rag.chunkers import sentences_of
from rag.cleaning import CITED
from rag.evaluation.case import Case, excerpts
from rag.evaluation.metrics import FAILED, SKIPPED, Measured, MetricConfig, Tools
from rag.evaluation.verdicts import MOST, check


class Config(MetricConfig):
    """Config of `citation_precision`.

    Each statement is checked against each place that it cites, against that one alone.

    Source:
        Gao et al., "Enabling large language models to generate text with citations", EMNLP 2023, section 3.3, where a citation
        is also right if it helps others.
    """

    type: Literal["citation_precision"] = "citation_precision"
    needs: ClassVar[frozenset[str]] = frozenset({"answer", "judge"})

    def measure(self, cases: Sequence[Case], tools: Tools) -> list[Measured]:
        """The share of citations; of answers that have some."""
        assert tools.judge is not None
        found = [FAILED if case.failed else SKIPPED for case in cases]
        asked, numbers = [], []
        for number, case in enumerate(cases):
            if case.answered is None or not case.answered.known:
                continue
            cited = citations_in(case.answered.text, len(case.answered.hits))[:MOST]
            if cited:
                numbers.append(number)
                asked.append(([text for text, _ in cited], excerpts(case.answered.hits), [n for _, n in cited]))
        for number, value in zip(numbers, check(tools.judge, asked), strict=True):
            found[number] = value
        return found


def citations_in(text: str, most: int) -> list[tuple[str, int]]:
    """Each statement with each place that it cites; numbers before a sentence's end, and those right behind it, are its own."""
    found: list[tuple[str, int]] = []
    before = ""
    for sentence in sentences_of(text):
        words = CITED.sub("", sentence).strip(" \n.,;:!?。，；：！？")
        cited = dict.fromkeys(int(number) for number in CITED.findall(sentence) if 1 <= int(number) <= most)
        lead = CITED.match(sentence.lstrip())
        own, rest = (words or before), list(cited)
        if lead is not None and before:  # "It is so. [1] And so." cites behind the full stop
            behind: list[int] = []
            at = sentence.lstrip()
            while (head := CITED.match(at)) is not None:
                behind.append(int(head.group(1)))
                at = at[head.end() :].lstrip()
            found += [(before, number) for number in dict.fromkeys(behind) if 1 <= number <= most]
            later = {int(number) for number in CITED.findall(at)}
            rest = [number for number in cited if number in later]
        if own:
            found += [(own, number) for number in rest]
        before = words or before
    return found
