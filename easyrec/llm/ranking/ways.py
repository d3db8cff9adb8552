"""How a model is asked to put candidates in order: `listwise`, `pairwise`, `pointwise`.

Each gives questions, some at a time, and takes their answers; what comes in the end holds every candidate once, whatever was
answered.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import Annotated, Any, Literal, TypeAlias
from zlib import crc32

import numpy as np
from pydantic import BaseModel, Field, model_validator
from typing_extensions import Self

from easyrec.llm.ranking.cases import Case, Look, Prompt, Ranked
from easyrec.llm.ranking.prompts import (
    Better,
    Grade,
    Likely,
    expected,
    listed,
    order_of,
    paired,
    rules_of,
    single,
    talk_of,
)
from feature_generator.config import StrictModel, fault

Steps: TypeAlias = Generator[list[Prompt[Any]], Sequence[BaseModel | None], Ranked]
GRADES = (1, 2, 3, 4, 5)


class Listwise(StrictModel):
    """Numbered candidates are put in order at once, several times from other places.

    Each order in which they are shown is drawn, and the next one is the same turned round: a model that looks at places alone
    contradicts itself, and changes nothing. Of what it answers the mean places count. Lists that are longer than a window are put in
    order from their end, so that the best ones rise.

    Source:
        Sun et al., "Is ChatGPT good at search?", EMNLP 2023 (windows); Hou et al., "Large language models are zero-shot rankers for
        recommender systems", ECIR 2024 (shuffles).
    """

    type: Literal["listwise"] = "listwise"
    shuffles: int = Field(2, ge=1, le=50)
    """How often the same candidates are shown, in other orders."""
    first: Literal["drawn", "as they are"] = "drawn"
    """How they are shown the first time; the order that they have is a hint, and a bias."""
    window: int = Field(20, ge=2, le=200)
    """Candidates in a prompt."""
    step: int = Field(10, ge=1, le=199)
    """How far the next window begins before the last one."""
    named: int | None = Field(None, ge=1, le=200)
    """How many of a window the model names; default: all. Answers are what costs most."""

    @model_validator(mode="after")
    def _moves(self) -> Self:
        if self.step >= self.window:
            raise fault(f"must be below 'window' ({self.window}), else what is good never rises", "step")
        return self

    def steps(self, case: Case, about: str | None, seed: int) -> Steps:
        """Questions, and in the end the order."""
        count = len(case.candidates)
        ranked = Ranked(list(range(count)), [math.nan] * count)
        if count < 2:
            return ranked
        rules = rules_of("listwise", about, query=case.query is not None, named=self.named)
        random = np.random.default_rng([seed, crc32(case.key.encode("utf-8", "replace"))])
        shots = [
            (listed(one.case, range(len(one.case.candidates))), {"order": [place + 1 for place in one.best]})
            for one in case.shots
        ]
        start = max(0, count - self.window)
        while True:
            inside = ranked.order[start : start + self.window]
            shows = self._shows(inside, random)
            answers = yield [
                Prompt(lambda show=show: talk_of(rules, shots, listed(case, show)), order_of(len(inside)))  # type: ignore[misc]
                for show in shows
            ]
            ranked.order[start : start + self.window] = self._merged(inside, shows, answers, ranked)
            if start == 0:
                return ranked
            start = max(0, start - self.step)

    def _shows(self, inside: Sequence[int], random: np.random.Generator) -> list[list[int]]:
        """The orders in which candidates are shown."""
        shows: list[list[int]] = []
        while len(shows) < self.shuffles:
            drawn = [inside[at] for at in random.permutation(len(inside))]
            drawn = list(inside) if not shows and self.first == "as they are" else drawn
            shows += [drawn, drawn[::-1]]
        return shows[: self.shuffles]

    def _merged(
        self, inside: Sequence[int], shows: Sequence[Sequence[int]], answers: Sequence[BaseModel | None], ranked: Ranked
    ) -> list[int]:
        """The order of a window: by mean places, and where they are alike as it was."""
        places = np.zeros(len(inside))
        at = {one: number for number, one in enumerate(inside)}
        heard = 0
        for show, answer in zip(shows, answers, strict=True):
            ranked.prompts += 1
            if answer is None:
                ranked.failed += 1
                continue
            heard += 1
            numbers: list[int] = answer.order  # type: ignore[attr-defined]
            known = [number - 1 for number in numbers if 1 <= number <= len(show)]
            once = list(dict.fromkeys(known))
            ranked.unknown += len(numbers) - len(known)
            ranked.doubled += len(known) - len(once)
            wanted = len(show) if self.named is None else min(self.named, len(show))
            ranked.missing += max(0, wanted - len(once))
            ranked.looks.append(Look(tuple(once), len(show)))
            said = [show[place] for place in once]
            chosen = set(said)
            rest = [one for one in inside if one not in chosen]
            for place, one in enumerate(said):
                places[at[one]] += place
            for one in rest:  # those that were not named are alike: their old order holds
                places[at[one]] += len(said) + (len(rest) - 1) / 2
        if not heard:
            return list(inside)
        places /= heard
        for one in inside:
            ranked.scores[one] = -float(places[at[one]])
        return [inside[number] for number in np.argsort(np.round(places, 9), kind="stable")]


class Pairwise(StrictModel):
    """Two candidates at a time, in both orders, in a tournament: the best ones alone are found.

    One that wins from one place only has not won: the order that there was holds.

    Source:
        Qin et al., "Large language models are effective text rankers with pairwise ranking prompting", NAACL 2024.
    """

    type: Literal["pairwise"] = "pairwise"
    top: int = Field(5, ge=1, le=100)
    """How many are found; the others follow as they stood."""
    comparisons: int = Field(60, ge=1, le=10_000)
    """Pairs of a request at most, of two questions each; what is left then stays as it stood."""

    def steps(self, case: Case, about: str | None, seed: int) -> Steps:
        """Questions, and in the end the order."""
        count = len(case.candidates)
        ranked = Ranked(list(range(count)), [math.nan] * count)
        if count < 2:
            return ranked
        rules = rules_of("pairwise", about, query=case.query is not None)
        shots = _pairs_shown(case)
        won: dict[tuple[int, int], int] = {}
        leaves: list[int | None] = list(range(count))
        best: list[int] = []
        for _ in range(min(self.top, count)):
            level = leaves
            while len(level) > 1:
                level = [*level, None] if len(level) % 2 else level
                met = [(a, b) for a, b in zip(level[::2], level[1::2], strict=True) if a is not None and b is not None]
                new = [pair for pair in met if pair not in won][: self.comparisons - len(won)]
                if new:
                    answers = yield [
                        Prompt(lambda a=a, b=b: talk_of(rules, shots, paired(case, a, b)), Better)  # type: ignore[misc]
                        for pair in new
                        for a, b in (pair, pair[::-1])
                    ]
                    for number, pair in enumerate(new):
                        won[pair] = _winner(pair, answers[2 * number : 2 * number + 2], ranked)
                level = [
                    won.get((a, b), a) if a is not None and b is not None else (b if a is None else a)
                    for a, b in zip(level[::2], level[1::2], strict=True)
                ]
            (first,) = level
            assert first is not None
            best.append(first)
            leaves = [None if one == first else one for one in leaves]
        for place, one in enumerate(best):
            ranked.scores[one] = float(count - place)
        ranked.order = best + [one for one in range(count) if one not in set(best)]
        return ranked


def _winner(pair: tuple[int, int], answers: Sequence[BaseModel | None], ranked: Ranked) -> int:
    """The one that wins from both places, else the one that stood before the other."""
    said = [answer.better for answer in answers if isinstance(answer, Better)]
    ranked.prompts += 2
    ranked.failed += 2 - len(said)
    if len(said) < 2:
        return min(pair)
    turned = said[0] == said[1]
    ranked.looks.append(Look(turned=turned, firsts=said.count("A")))
    return min(pair) if turned else pair[0] if said[0] == "A" else pair[1]


def _pairs_shown(case: Case) -> list[tuple[str, dict[str, Any]]]:
    """Of each example one that was taken beside one that was not, by turns in the first place and in the second."""
    shots: list[tuple[str, dict[str, Any]]] = []
    for number, one in enumerate(case.shots):
        others = [place for place in range(len(one.case.candidates)) if place not in one.best]
        if one.best and others:
            good, bad = one.best[0], others[0]
            first, second, answer = (good, bad, "A") if number % 2 == 0 else (bad, good, "B")
            shots.append((paired(one.case, first, second), {"better": answer}))
    return shots


class Pointwise(StrictModel):
    """Each candidate gets a grade by itself. Equal grades stay in the order that there was."""

    type: Literal["pointwise"] = "pointwise"
    logprobs: bool = False
    """Whether the mean grade by the probabilities of its tokens counts; needs a server that tells them."""

    def steps(self, case: Case, about: str | None, seed: int) -> Steps:
        """Questions, and in the end the order."""
        count = len(case.candidates)
        ranked = Ranked(list(range(count)), [math.nan] * count)
        if count < 2:
            return ranked
        ranked.prompts = count
        rules = rules_of("pointwise", about, query=case.query is not None)
        shots = _grades_shown(case)
        more = {"logprobs": True, "top_logprobs": len(GRADES)} if self.logprobs else None
        answers = yield [
            Prompt(
                lambda one=one: talk_of(rules, shots, single(case, one)),  # type: ignore[misc]
                Grade,
                more,
                expected(GRADES) if self.logprobs else None,
            )
            for one in range(count)
        ]
        grades = np.full(count, np.nan)
        for one, answer in enumerate(answers):
            if isinstance(answer, Grade):
                grades[one] = answer.expected if isinstance(answer, Likely) else answer.grade
        known = ~np.isnan(grades)
        ranked.failed = int((~known).sum())
        ranked.scores = [float(grade) for grade in grades]
        # one without a grade is as good as the others on average, rather than the worst
        filled = np.where(known, grades, grades[known].mean() if known.any() else 0.0)
        ranked.order = [int(one) for one in np.argsort(-np.round(filled, 9), kind="stable")]
        return ranked


def _grades_shown(case: Case) -> list[tuple[str, dict[str, Any]]]:
    """Of each example one that was taken, and one that was not."""
    shots: list[tuple[str, dict[str, Any]]] = []
    for one in case.shots:
        others = [place for place in range(len(one.case.candidates)) if place not in one.best]
        shots += [(single(one.case, place), {"grade": 5}) for place in one.best[:1]]
        shots += [(single(one.case, place), {"grade": 1}) for place in others[:1]]
    return shots


Way: TypeAlias = Annotated[Listwise | Pairwise | Pointwise, Field(discriminator="type")]
