"""What the model is asked, and which of its sentences may be said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model

from easyrec.llm.client import Message, system, user
from easyrec.llm.grounds import Grounds
from easyrec.llm.telling import line, seen
from easyrec.llm.texts import DATA, cut
from easyrec.llm.tools.explain import Config

RULES = """\
You tell a person why a shop recommends an item to him. You are told the item, and what this person did before: numbered events, the
oldest first. Answer `sentences`, {count} at most, {longest} characters together, that speak to him ("you") and say what the item has
in common with what he did. `cites` are the numbers of the events that a sentence rests on, at least one each; a sentence that rests on
none is dropped. Say of the item only what its text says, and nothing of other people. Praise nothing."""
ABOUT = "\nThe shop: {about}"
MOST = 9999
LINKS = re.compile(r"https?:|www\.|@|\w\.[a-z]{2}|<[a-z/!]|\]\(", re.IGNORECASE)
"""What no explanation holds: addresses, also without what they begin with, and marks of pages."""


class Sentence(BaseModel):
    """What is said, and what it rests on."""

    model_config = ConfigDict(extra="ignore")
    text: str
    cites: list[int]


def schema_of(own: Config) -> type[BaseModel]:
    """What is answered."""
    loose = ConfigDict(extra="ignore")
    sentence = create_model(
        "Sentence",
        __base__=Sentence,
        text=(Annotated[str, StringConstraints(max_length=own.longest)], ...),
        cites=(Annotated[list[Annotated[int, Field(ge=0, le=MOST)]], Field(max_length=10)], ...),
    )
    several: Any = (Annotated[list[sentence], Field(max_length=own.sentences)], ...)
    return create_model("Explanation", __config__=loose, sentences=several)


def talk_of(own: Config, item: str, events: Sequence[dict[str, Any]]) -> list[Message]:
    """The messages."""
    rules = RULES.format(count=own.sentences, longest=own.longest)
    rules += ABOUT.format(about=seen(own.about)) if own.about else ""
    numbered = [{"event": number, **one} for number, one in enumerate(events, 1)]
    return [system(rules + DATA), user("\n".join(map(line, [{"item": item}, *numbered])))]


@dataclass
class Sifted:
    """Takes answers apart, and counts.

    Args:
        own: The section.
        grounds: Compares sentences with events.
    """

    own: Config
    grounds: Grounds
    written: int = 0
    unknown: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def said(self, answer: BaseModel, events: Sequence[str]) -> tuple[str, list[int]]:
        """What may be said, and the places of the events that it cites; nothing where no sentence may be."""
        texts: list[str] = []
        cited: list[int] = []
        for sentence in answer.sentences:  # type: ignore[attr-defined]
            self.written += 1
            known = [number - 1 for number in dict.fromkeys(sentence.cites) if 1 <= number <= len(events)]
            self.unknown += len(set(sentence.cites)) - len(known)
            text = " ".join(cut(sentence.text, self.own.longest).split())
            why = self._wrong(text, sentence.cites, known, events)
            if not why and sum(map(len, texts)) + len(texts) + len(text) > self.own.longest:
                why = "too long"
            if why:
                self.dropped[why] += 1
                continue
            texts.append(text)
            cited += [place for place in known if place not in cited]
        return " ".join(texts), sorted(cited)

    def _wrong(self, text: str, cites: Sequence[int], known: list[int], events: Sequence[str]) -> str:
        """Why a sentence may not be said; what it cites without a word in common is taken out of `known`."""
        if not text or LINKS.search(text):
            return "no sentence"
        if not known:
            return "cites what was not shown" if cites else "cites nothing"
        if self.own.grounded:
            known[:] = [place for place in known if self.grounds.touches(text, self.grounds.words(events[place]))]
            if not known:
                return "no word in common"
        return ""

    def nearest(self, item: str, events: Sequence[str]) -> int:
        """The event that has the most words in common with the item; of equal ones the newest."""
        words = self.grounds.words(item)
        return max(range(len(events)), key=lambda place: (self.grounds.share(events[place], words), place))
