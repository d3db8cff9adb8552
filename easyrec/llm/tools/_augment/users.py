"""Who is asked about: users as texts, and those that are near an item."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from easyrec.errors import DataError
from easyrec.llm.behaviour import Behaviour
from easyrec.llm.config import LlmConfig
from easyrec.llm.events import numbers_of
from easyrec.llm.examples import ExampleIndex
from easyrec.llm.texts import Texts, cut
from easyrec.llm.tools.augment import Config


def told_users(own: Config, texts: Texts, behaviour: Behaviour) -> tuple[np.ndarray, list[str]]:
    """Numbers of the users that are asked about, and what is told of each.

    Raises:
        DataError: There is none.
    """
    places = {number: behaviour.last(number) for number in range(len(behaviour.users))}
    whole = np.diff(np.searchsorted(behaviour.owner, np.arange(len(behaviour.users) + 1)))
    able = [number for number in places if whole[number] >= own.least]
    told: dict[int, str] = {}
    if own.profiles is not None:
        profiles = Texts(own.profiles, "augment.profiles")
        where = numbers_of(
            behaviour.users.take(pa.array(able, pa.int64())), profiles.ids, own.profiles.path, own.profiles.id
        )
        for number, row in zip(able, where, strict=True):
            if row >= 0 and (text := profiles.of(int(row)).strip()):
                told[number] = cut(text, own.longest)
    else:
        known: dict[int, str] = {}
        for number in able:
            items = [int(item) for item in behaviour.item[places[number]]]
            for item in items:
                if item not in known:
                    known[item] = texts.of(item)
            newest = "; ".join(known[item] for item in reversed(items))  # what is cut off is the oldest
            told[number] = cut(newest, own.longest)
    if not told:
        raise DataError(
            f"no user has {own.least} events and a text to be told by", file=own.events.path, column=own.events.user
        )
    return np.fromiter(told, np.int64, len(told)), list(told.values())


def near_users(config: LlmConfig, own: Config, users: Sequence[str], items: Sequence[str]) -> list[np.ndarray]:
    """Of each item the places of the users that are asked about, in a drawn order."""
    random, wanted = np.random.default_rng(own.seed), min(own.users, len(users))
    found = [np.zeros(0, np.int64)] * len(items)
    if own.by == "words":
        with ExampleIndex(users, by="words", diversity=0.0) as index:
            found = [index.select(text, k=wanted).places for text in items]
    elif own.by == "vectors":
        with config.embeds().open() as embedder:
            vectors, asked = embedder.documents(list(users)), embedder.queries(list(items))
        with ExampleIndex(users, vectors=vectors, by="vectors", diversity=0.0) as index:
            found = [index.select(text, k=wanted, vector=one).places for text, one in zip(items, asked, strict=True)]
    drawn = []
    for some in found:
        chosen = [int(one) for one in some[:wanted]]
        if len(chosen) < wanted:  # too few have a word in common: others by chance
            taken = set(chosen)
            more = random.permutation(len(users))[: wanted + len(taken)]
            chosen += [int(one) for one in more if one not in taken][: wanted - len(chosen)]
        drawn.append(np.array(chosen, np.int64)[random.permutation(len(chosen))])
    return drawn
