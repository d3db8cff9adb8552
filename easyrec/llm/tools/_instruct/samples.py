"""Moments that are asked about, and what is asked and answered then; nothing later than the moment is looked at."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.errors import DataError
from easyrec.llm.behaviour import Behaviour
from easyrec.llm.client import Message, system, user
from easyrec.llm.events import moments, numbers_of, plain
from easyrec.llm.items import batches_of
from easyrec.llm.ranking import Case
from easyrec.llm.ranking.prompts import ABOUT, listed, rules_of, talk_of
from easyrec.llm.telling import line, seen
from easyrec.llm.texts import DATA, Texts
from easyrec.llm.tools._explain import sentences
from easyrec.llm.tools.explain import Config as ExplainConfig
from easyrec.llm.tools.explain import RecommendedConfig
from easyrec.llm.tools.instruct import Config, Explanations, NextItem, Rating

RATING = """\
You rate for the recommender of a shop. You are told what a person took, a line each, the oldest first, with the value that this person
gave it, and then a candidate. Answer `value`: the one that this person gives it, from {low} to {high}."""
TRIES = 20
"""Draws of items that a user has not taken yet, of which enough must be good."""


@dataclass(frozen=True)
class Moment:
    """A moment that is asked about.

    Attributes:
        task: Which of the tasks.
        user: The user's number.
        time: The moment.
        event: Place of the event that happened then; of an explanation its row.
    """

    task: int
    user: int
    time: float
    event: int


@dataclass
class Samples:
    """Makes moments and texts.

    Args:
        own: The section.
        texts: Of the items.
        behaviour: What users did.
    """

    own: Config
    texts: Texts
    behaviour: Behaviour
    _known: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        order = np.argsort(self.behaviour.time, kind="stable")
        self._times, self._items = self.behaviour.time[order], self.behaviour.item[order]
        self._first = np.full(len(self.texts), np.inf)  # when an item was taken for the first time
        np.minimum.at(self._first, self._items, self._times)
        self._by_first = np.argsort(self._first, kind="stable")
        values = self.behaviour.value
        self._low, self._high = (0.0, 0.0) if values is None else (float(values.min()), float(values.max()))
        self._explained: dict[int, pa.Table] = {}

    def moments(self, split: float | None) -> dict[str, list[Moment]]:
        """By part the moments, drawn and in a drawn order."""
        random = np.random.default_rng(self.own.seed)
        parts: dict[str, list[Moment]] = {"train": [], "valid": []}
        for number, task in enumerate(self.own.tasks):
            if isinstance(task, Explanations):
                users, times, places = self._explanations(number, task)
                most = len(users)
            else:
                places = self._events()
                users, times, most = self.behaviour.owner[places], self.behaviour.time[places], task.per_user
            valid = np.zeros(len(times), bool) if split is None else times >= split
            for part, chosen in (("train", np.flatnonzero(~valid)), ("valid", np.flatnonzero(valid))):
                drawn = chosen[random.permutation(len(chosen))]
                kept = drawn[_nth(users[drawn]) < most][: self.own.limit]
                parts[part] += [Moment(number, int(users[at]), times[at].item(), int(places[at])) for at in kept]
        return {part: [some[at] for at in random.permutation(len(some))] for part, some in parts.items()}

    def _events(self) -> np.ndarray:
        """Places of events that have enough others of their user strictly before them."""
        behaviour = self.behaviour
        begin = np.searchsorted(behaviour.owner, behaviour.owner, "left")
        fresh = np.ones(len(behaviour.owner), bool)
        fresh[1:] = (np.diff(behaviour.owner) != 0) | (np.diff(behaviour.time) != 0)
        leads = np.maximum.accumulate(np.where(fresh, np.arange(len(fresh)), 0))  # the first event of each moment
        return np.flatnonzero(leads - begin >= self.own.least)

    def _explanations(self, task: int, own: Explanations) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Users, times and rows of explanations whose user and item are known."""
        wanted = [own.user, own.item, own.time, "text", "cites", *([own.state] if own.state else [])]
        table = pa.Table.from_batches(list(batches_of(Path(own.path), list(dict.fromkeys(wanted)), "instruct.tasks")))
        if own.state is not None:
            table = table.filter(pa.array([state == "model" for state in table[own.state].to_pylist()], pa.bool_()))
        table = table.filter(table["text"].is_valid()) if len(table) else table
        if not len(table):
            raise DataError("explains nothing by a model", file=own.path, column="text")
        users = self.behaviour.numbers_of(table[own.user], own.path, own.user)
        items = numbers_of(plain(table[own.item]), self.texts.ids, own.path, own.item)
        timed = self.own.events.model_copy(update={"path": own.path, "time": own.time})
        times = moments(plain(table[own.time]), timed)
        self._explained[task] = pa.table({"item": items, "text": table["text"], "cites": table["cites"]})
        known = np.flatnonzero((users >= 0) & (items >= 0))
        return users[known], times[known], known

    # ------------------------------------------------------------------------------------------------ texts

    def talk(self, moment: Moment) -> tuple[list[Message], str] | None:
        """What is asked, and the right answer; None where too little is known."""
        task = self.own.tasks[moment.task]
        if isinstance(task, NextItem):
            return self._next(moment, task)
        if isinstance(task, Rating):
            return self._rating(moment)
        return self._why(moment)

    def _text(self, item: int) -> str:
        found = self._known.get(item)
        if found is None:
            found = self._known[item] = self.texts.of(item)
        return found

    def _history(self, moment: Moment, name: str = "took") -> list[dict[str, Any]]:
        told = []
        for place in self.behaviour.last(moment.user, moment.time):
            one: dict[str, Any] = {name: self._text(int(self.behaviour.item[place]))}
            if self.behaviour.value is not None:
                one["value"] = float(self.behaviour.value[place])
            told.append(one)
        return told

    def _next(self, moment: Moment, task: NextItem) -> tuple[list[Message], str] | None:
        random = np.random.default_rng([self.own.seed, moment.task, moment.event])
        taken = int(self.behaviour.item[moment.event])
        others = self._others(moment, task, random)
        if len(others) < task.candidates - 1:
            return None
        shown = [taken, *others]
        shown = [shown[at] for at in random.permutation(len(shown))]
        case = Case(str(moment.event), [self._text(item) for item in shown], self._history(moment))
        rules = rules_of("listwise", self.own.about, query=False, named=1)
        return talk_of(rules, [], listed(case, range(len(shown)))), json.dumps({"order": [shown.index(taken) + 1]})

    def _others(self, moment: Moment, task: NextItem, random: np.random.Generator) -> list[int]:
        """Items that somebody took before the moment, and that the user did not take up to it."""
        whole = self.behaviour.of(moment.user)
        own = self.behaviour.item[whole][self.behaviour.time[whole] <= moment.time]
        if task.negatives == "popular":
            pool: np.ndarray = self._items
            ends = int(np.searchsorted(self._times, moment.time, "left"))
        else:
            pool = self._by_first
            ends = int(np.searchsorted(self._first[self._by_first], moment.time, "left"))
        if not ends:
            return []
        drawn = pool[random.integers(0, ends, TRIES * task.candidates)]
        good = dict.fromkeys(int(item) for item in drawn[~np.isin(drawn, own)])
        return list(good)[: task.candidates - 1]

    def _rating(self, moment: Moment) -> tuple[list[Message], str]:
        assert self.behaviour.value is not None
        rules = RATING.format(low=_plain(self._low), high=_plain(self._high))
        rules += (ABOUT.format(about=seen(self.own.about)) if self.own.about else "") + DATA
        candidate = {"candidate": self._text(int(self.behaviour.item[moment.event]))}
        told = "\n".join(map(line, [*self._history(moment), candidate]))
        value = _plain(float(self.behaviour.value[moment.event]))
        return [system(rules), user(told)], json.dumps({"value": value})

    def _why(self, moment: Moment) -> tuple[list[Message], str] | None:
        row = {name: column[moment.event].as_py() for name, column in self._named(moment).items()}
        history = self._history(moment, "text")
        cites = [number for number in row["cites"] or [] if 1 <= number <= len(history)]
        if not cites:
            return None
        own = ExplainConfig(
            recommended=RecommendedConfig(path="-"),
            items=self.own.items,
            events=self.own.events,
            about=self.own.about,
            output="-.parquet",
        )
        answer = {"sentences": [{"text": row["text"], "cites": cites}]}
        return sentences.talk_of(own, self._text(row["item"]), history), json.dumps(answer, ensure_ascii=False)

    def _named(self, moment: Moment) -> dict[str, Any]:
        table = self._explained[moment.task]
        return {name: table[name] for name in table.column_names}


def _nth(users: np.ndarray) -> np.ndarray:
    """How many of the same user stand before each one."""
    order = np.argsort(users, kind="stable")
    first = np.searchsorted(users[order], users[order], "left")
    found = np.empty(len(users), np.int64)
    found[order] = np.arange(len(users)) - first
    return found


def _plain(value: float) -> float | int:
    """A number as people write it."""
    return int(value) if value == int(value) else round(value, 4)
