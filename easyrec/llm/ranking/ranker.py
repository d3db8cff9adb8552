"""`LlmRanker`: asks a model to put candidates in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from easyrec.errors import AnswerError, DeadlineError
from easyrec.llm.asking import Asked, ask_each
from easyrec.llm.client import Client, Parsed, Usage
from easyrec.llm.ranking.cases import Case, Prompt, Ranked
from easyrec.llm.ranking.ways import Listwise, Pairwise, Pointwise, Steps

M = TypeVar("M", bound=BaseModel)


class LlmRanker:
    """Puts candidates in order by asking a model, without training, or with a few examples.

    Args:
        client: The model; with a cache nothing is paid for twice.
        way: How it is asked; default: listwise.
        about: What the candidates are, in a sentence that the model is told.
        seed: Where chance starts.
    """

    def __init__(
        self,
        client: Client,
        way: Listwise | Pairwise | Pointwise | None = None,
        about: str | None = None,
        seed: int = 0,
    ) -> None:
        self.client, self.way = client, way or Listwise()
        self._about, self._seed = about, seed

    def rank(
        self, cases: Sequence[Case], *, max_failed: float = 0.2, progress: Callable[[int], object] | None = None
    ) -> tuple[list[Ranked], Asked[Any]]:
        """The orders of many requests, with what they took.

        Args:
            cases: The requests.
            max_failed: The share of questions that may have no answer.
            progress: Is told how many more questions are answered.

        Raises:
            DataError: More of them have none.
            BudgetError: The budget is spent; what was answered is in the cache, where there is one.
            ModelError: The model cannot be asked.
        """
        found: dict[int, Ranked] = {}
        running: dict[int, tuple[Steps, list[Prompt[Any]]]] = {}
        for number, case in enumerate(cases):
            self._next(found, running, number, self._begun(case), None)
        parts: list[Asked[Any]] = []
        while running:
            prompts = [prompt for _, asked in running.values() for prompt in asked]
            parts.append(self._asked(prompts, parts, max_failed, progress))
            answers = iter(parts[-1].values)
            for number, (steps, asked) in list(running.items()):
                self._next(found, running, number, steps, [next(answers) for _ in asked])
        return [found[number] for number in range(len(cases))], together(parts)

    def order(self, case: Case, timeout_s: float | None = None) -> Ranked:
        """The order of one request.

        Args:
            case: The request.
            timeout_s: How long it may take.

        Raises:
            DeadlineError: It takes longer.
            ModelError: The model cannot be asked.
        """
        try:
            return self.client.run(asyncio.wait_for(self._ordered(case), timeout_s))
        except (TimeoutError, asyncio.TimeoutError):
            raise DeadlineError(f"the language model took longer than {timeout_s:.3g} s", "language model") from None

    async def _ordered(self, case: Case) -> Ranked:
        found: dict[int, Ranked] = {}
        running: dict[int, tuple[Steps, list[Prompt[Any]]]] = {}
        self._next(found, running, 0, self._begun(case), None)
        while running:
            steps, prompts = running[0]
            self._next(found, running, 0, steps, await asyncio.gather(*map(self._said, prompts)))
        return found[0]

    async def _said(self, prompt: Prompt[M]) -> M | None:
        try:
            told: Parsed[M] = await self.client.client.structured(
                prompt.talk(), prompt.schema, repairs=0, more=prompt.more
            )
        except AnswerError:
            return None
        return told.value if prompt.made is None else prompt.made(told)

    def _begun(self, case: Case) -> Steps:
        return self.way.steps(case, self._about, self._seed)

    def _asked(
        self,
        prompts: list[Prompt[Any]],
        before: Sequence[Asked[Any]],
        max_failed: float,
        progress: Callable[[int], object] | None,
    ) -> Asked[Any]:
        """Ask some questions. Of all so far no more than the share may fail; of the last few alone that would be too strict."""
        allowed = max_failed * (sum(one.count for one in before) + len(prompts)) - sum(one.failed for one in before)
        return ask_each(
            self.client,
            prompts,
            lambda prompt: prompt.talk(),
            lambda prompt: prompt.schema,
            max_failed=min(1.0, max(0.0, allowed / len(prompts))),
            progress=progress,
            more=prompts[0].more,  # of one way all prompts are alike
            made=lambda prompt, told: told.value if prompt.made is None else prompt.made(told),
        )

    @staticmethod
    def _next(
        found: dict[int, Ranked],
        running: dict[int, tuple[Steps, list[Prompt[Any]]]],
        number: int,
        steps: Steps,
        answers: Sequence[Any] | None,
    ) -> None:
        """Go on with a request: to its next questions, or to its end."""
        try:
            running[number] = (steps, next(steps) if answers is None else steps.send(answers))
        except StopIteration as done:
            running.pop(number, None)
            found[number] = done.value


def together(parts: Sequence[Asked[Any]]) -> Asked[Any]:
    """What was asked in several rounds, as one."""
    kinds: Counter[str] = sum((one.kinds for one in parts), Counter())
    whys: dict[str, Sequence[str]] = {}
    for one in parts:
        for kind, some in one.whys.items():
            whys.setdefault(kind, some)
    return Asked(
        [value for one in parts for value in one.values],
        [state for one in parts for state in one.states],
        kinds,
        sum(one.cached for one in parts),
        sum((one.spent for one in parts), Usage()),
        sum(one.cost for one in parts),
        sum(one.seconds for one in parts),
        whys,
    )
