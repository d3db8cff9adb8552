"""What the model is asked, and the choices that its answers hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model

from easyrec.llm.asking import Asked, ask_each
from easyrec.llm.client import Client, system, user
from easyrec.llm.ranking.prompts import Better
from easyrec.llm.telling import line
from easyrec.llm.texts import DATA
from easyrec.llm.tools.augment import Config

LISTWISE = """\
You know who likes what. You are told of a thing that is new in a shop, "item", and of numbered people by what they like or took.
Answer `people`: the numbers of up to {count} of them who would take it most likely, the likeliest first. Name only people with a clear
reason in what they like; an empty list is right where there is none."""
PAIRWISE = """\
You know who likes what. You are told what a person likes or took, "person", and of two things that are new in a shop, A and B. Answer
`better`: "A" or "B", the one that this person would rather take. Neither the order in which you see them nor the length of their texts
makes one better."""
MOST = 999


@dataclass
class Choices:
    """What was chosen.

    Attributes:
        picked: (user, item, place in its answer, loser or None): places of users and items, the surest first.
        unknown: Numbers that were not shown.
        doubled: Numbers that came again.
        turned: Choices that the other order did not repeat.
    """

    picked: list[tuple[int, int, int, int | None]] = field(default_factory=list)
    unknown: int = 0
    doubled: int = 0
    turned: int = 0


def people_of(count: int) -> type[BaseModel]:
    """The form of an answer that names so many."""
    number = Annotated[int, Field(ge=0, le=MOST)]
    people: Any = (Annotated[list[number], Field(max_length=2 * count)], ...)
    return create_model("People", __config__=ConfigDict(extra="ignore"), people=people)


def listwise(
    client: Client,
    own: Config,
    items: Sequence[str],
    users: Sequence[str],
    near: Sequence[np.ndarray],
    progress: Callable[[int], object] | None,
) -> tuple[Choices, Asked[Any]]:
    """Who of several would take an item."""
    rules = system(LISTWISE.format(count=own.per_item) + DATA)
    shows = [
        (number, order)
        for number, some in enumerate(near)
        for order in ([some, some[::-1]] if own.both_orders else [some])
    ]

    def told(show: tuple[int, np.ndarray]) -> list[Any]:
        number, order = show
        people = [{"person": place + 1, "likes": users[one]} for place, one in enumerate(order)]
        return [rules, user("\n".join(map(line, [{"item": items[number]}, *people])))]

    asked: Asked[BaseModel] = ask_each(
        client, shows, told, people_of(own.per_item), max_failed=own.max_failed, progress=progress
    )
    choices, named = Choices(), [list[int]() for _ in shows]
    for at, ((_, order), answer) in enumerate(zip(shows, asked.values, strict=True)):
        if answer is not None:
            numbers: list[int] = answer.people  # type: ignore[attr-defined]
            known = [int(order[number - 1]) for number in numbers if 1 <= number <= len(order)]
            named[at] = list(dict.fromkeys(known))
            choices.unknown += len(numbers) - len(known)
            choices.doubled += len(known) - len(named[at])
    step = 2 if own.both_orders else 1
    for at in range(0, len(shows), step):
        kept = named[at]
        if own.both_orders:
            kept = [one for one in named[at] if one in named[at + 1]]
            choices.turned += len(set(named[at]) | set(named[at + 1])) - len(kept)
        choices.picked += [(one, shows[at][0], place, None) for place, one in enumerate(kept)]
    return choices, asked


def pairwise(
    client: Client,
    own: Config,
    items: Sequence[str],
    users: Sequence[str],
    near: Sequence[np.ndarray],
    progress: Callable[[int], object] | None,
) -> tuple[Choices, Asked[Any]]:
    """Which of two cold items a user would rather take: each item beside others that are drawn."""
    rules, random = system(PAIRWISE + DATA), np.random.default_rng(own.seed + 1)
    pairs: dict[tuple[int, int, int], None] = {}
    for number, some in enumerate(near):
        others = random.integers(0, len(items) - 1, len(some)) if len(items) > 1 else np.zeros(0, np.int64)
        for one, other in zip(some, others, strict=False):
            rival = int(other) + (int(other) >= number)  # any but itself
            pairs[int(one), min(number, rival), max(number, rival)] = None
    shows = [(one, first, second) for one, a, b in pairs for first, second in ((a, b), (b, a))]

    def told(show: tuple[int, int, int]) -> list[Any]:
        one, first, second = show
        lines = [{"person": users[one]}, {"A": items[first]}, {"B": items[second]}]
        return [rules, user("\n".join(map(line, lines)))]

    asked: Asked[Better] = ask_each(client, shows, told, Better, max_failed=own.max_failed, progress=progress)
    choices = Choices()
    for at, (one, a, b) in enumerate(pairs):
        said = asked.values[2 * at], asked.values[2 * at + 1]
        if said[0] is None or said[1] is None:
            continue
        if said[0].better == said[1].better:
            choices.turned += 1
        else:
            won, lost = (a, b) if said[0].better == "A" else (b, a)
            choices.picked.append((one, won, 0, lost))
    return choices, asked
